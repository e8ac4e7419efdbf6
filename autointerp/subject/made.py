"""A subject that a run trained: the folder it is in, checked before it is there and opened when it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from autointerp import study_inputs
from autointerp.artifacts import hash_value
from autointerp.errors import BadInput
from autointerp.models import LoadedModel, device_of
from autointerp.models.locate import locate
from autointerp.models.quiet import quiet
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.forward import Subject
from autointerp.subject.making import START, blank_model, learn_tokenizer


def recipe_identity(recipe: SubjectTraining) -> str:
    """Names what a subject is trained as; text and seed are not in it."""
    return f"trained@{hash_value(recipe.model_dump(mode='json'))[:16]}"


def check_made(config: study_inputs.Subject, recipe: SubjectTraining) -> torch.device:
    """The device that the subject will be on; BadInput when that or a hook can't be had, before any training."""
    device = device_of(config.device)
    blank: Any = blank_model(recipe, recipe.vocabulary, context=8, seed=0)
    tokenizer = learn_tokenizer([], recipe.vocabulary)
    Subject(LoadedModel(blank, tokenizer, recipe_identity(recipe), torch.device("cpu")), config.hooks, START)
    return device


def open_made(config: study_inputs.Subject, folder: Path) -> Subject:
    """Open the trained subject in `folder`.

    Not by `load_model`, which gives a path's model again from memory: here the path stays when the weights change.
    """
    device = device_of(config.device)
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"the subject that this run trained is not in its folder ({folder})",
            "a published run leaves it out: run its study again, or give a folder that has it",
        )
    with quiet():
        model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=getattr(torch, config.dtype))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    identity = locate(str(folder), None).identity
    model = model.to(device).eval().requires_grad_(False)
    return Subject(LoadedModel(model, tokenizer, identity, device), config.hooks, START)
