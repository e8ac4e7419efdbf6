"""A small transformer that has not learned anything yet, in a form that other tools open: GPT-2's, with ReLU."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from autointerp.study_inputs import SubjectTraining

START = 0
"""Id of the token that stands before every context, the only special one."""


def blank_model(recipe: SubjectTraining, vocabulary: int, context: int, seed: int) -> GPT2LMHeadModel:
    """A model of `recipe` with random weights, on the CPU, float32.

    `vocabulary` ids, START among them; `context` tokens after the start token are its longest input.
    Learned positions, layer norms, tied embeddings, no dropout. The global random state stays as it was.
    """
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=context + 1,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_inner=recipe.neurons,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=START,
        eos_token_id=START,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)
