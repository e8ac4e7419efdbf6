"""A small subject trained from scratch, in steps that an interrupted run continues exactly.

A blank transformer in GPT-2's form with ReLU, which other tools open; a tokenizer learned from text (byte-level
byte-pair encoding: Sennrich et al. 2016, bytes as in GPT-2); and what predictions from counts alone would cost, the
losses that a trained subject is held against.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from autointerp.artifacts import atomic_path, rng_of
from autointerp.errors import BadInput
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


WARM_UP, LAST = 0.02, 0.1
"""Share of the steps in which the learning rate rises from 0; share of it that the cosine ends at."""
_BETAS, _WEIGHT_DECAY, _CLIP = (0.9, 0.95), 0.1, 1.0
_MOMENTS = ("exp_avg", "exp_avg_sq")
_READ_AT_ONCE = 32


class Making:
    """A subject while it is trained: AdamW on shuffled contexts, each after the start token, on the model's device.

    On the CPU the weights are the same bit for bit for the same arguments and number of threads, whether training
    was interrupted or not. On CUDA products are in bfloat16, weights and sums in float32.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        recipe: SubjectTraining,
        contexts: Int[np.ndarray, "_ context"],
        seed: int,
    ) -> None:
        """Train `model`, in place, on the token ids `contexts`; BadInput when they are less than one batch."""
        self._per_pass = len(contexts) // recipe.batch
        if not self._per_pass:
            raise BadInput(
                f"{len(contexts)} contexts to train the subject on are less than one batch of {recipe.batch}",
                "raise corpus.tokens or corpus.train, or lower subject.train.batch",
            )
        self.model, self._recipe, self._contexts = model.train(), recipe, contexts
        self._seed = seed
        self._parameters = list(model.parameters())
        matrices = [p for p in self._parameters if p.ndim > 1]
        others = [p for p in self._parameters if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": _WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW(groups, lr=recipe.lr, betas=_BETAS, fused=True)
        self.steps = recipe.passes * self._per_pass
        """Steps in all."""
        self._order = (-1, np.empty(0, dtype=np.int64))
        self.losses: list[float] = []
        """Of every step so far, before its update: nats per token."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step learns from, start tokens not counted."""
        return self._recipe.batch * int(self._contexts.shape[1])

    def step(self) -> float:
        """Learn from the next batch and return its loss; BadInput when that is not a number."""
        done = len(self.losses)
        for group in self._adam.param_groups:
            group["lr"] = self._recipe.lr * schedule(done, self.steps)
        loss = next_token_loss(self.model, self._contexts[self._batch(done)])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        self._adam.step()
        self._adam.zero_grad()
        self.losses.append(float(loss.detach()))
        if not math.isfinite(self.losses[-1]):
            what = f"the subject's loss is {self.losses[-1]:g} at step {done + 1} with lr = {self._recipe.lr:g}"
            raise BadInput(what, "lower subject.train.lr")
        return self.losses[-1]

    def save(self, path: Path, made_of: str) -> None:
        """Write weights, moments and losses to `path`, whole or not at all, with a name for what they are made of."""
        tensors = {"losses": torch.tensor(self.losses, dtype=torch.float64)}
        for position, parameter in enumerate(self._parameters):
            tensors[f"{position}.weight"] = parameter.detach().contiguous()
            for name in _MOMENTS:
                tensors[f"{position}.{name}"] = self._adam.state[parameter][name]
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"made_of": made_of})

    def restore(self, path: Path, made_of: str) -> bool:
        """Continue from what `save` wrote there; False, and nothing is changed, when that is not made of the same."""
        try:
            with safe_open(path, framework="pt", device=str(self.model.device)) as file:
                if (file.metadata() or {}).get("made_of") != made_of:
                    return False
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError):
            return False
        self.losses = tensors["losses"].tolist()
        for position, parameter in enumerate(self._parameters):
            with torch.no_grad():
                parameter.copy_(tensors[f"{position}.weight"])
            step = torch.tensor(float(len(self.losses)), device=parameter.device)
            moments = {name: tensors[f"{position}.{name}"] for name in _MOMENTS}
            self._adam.state[parameter] = {"step": step, **moments}
        return True

    def _batch(self, step: int) -> Int[np.ndarray, " context"]:
        """Places of a step's contexts: every pass has an order of its own, which depends on nothing before it."""
        number, place = divmod(step, self._per_pass)
        if self._order[0] != number:
            self._order = number, rng_of(self._seed, "pass", number).permutation(len(self._contexts))
        return self._order[1][place * self._recipe.batch : (place + 1) * self._recipe.batch]


def complete(
    making: Making, checkpoint: Path, made_of: str, every: float, progress: Callable[[float], None] | None = None
) -> None:
    """Do the steps that are left, and save to `checkpoint` whenever `every` seconds have gone by.

    `progress` is called with the loss after every step.
    """
    saved = time.monotonic()
    while len(making.losses) < making.steps:
        loss = making.step()
        if progress is not None:
            progress(loss)
        if time.monotonic() - saved >= every:
            making.save(checkpoint, made_of)
            saved = time.monotonic()


def schedule(done: int, steps: int) -> float:
    """Factor of the learning rate after `done` of `steps` steps: a linear rise, then a cosine to a tenth."""
    rise = max(round(WARM_UP * steps), 1)
    if done < rise:
        return (done + 1) / rise
    return LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * (done - rise) / max(steps - rise, 1)))


def next_token_loss(model: GPT2LMHeadModel, contexts: Int[np.ndarray, "batch context"]) -> Float[torch.Tensor, ""]:
    """Mean loss in nats per token of contexts, each token predicted from the start token and those before it."""
    ids = torch.as_tensor(contexts, dtype=torch.long, device=model.device)
    before = torch.nn.functional.pad(ids[:, :-1], (1, 0), value=START)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.device.type == "cuda"):
        logits = model(input_ids=before, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids.flatten())


def held_out_loss(model: GPT2LMHeadModel, contexts: Int[np.ndarray, "_ context"]) -> float:
    """The mean loss over any number of contexts, in evaluation mode."""
    model.train(False)
    with torch.inference_mode():
        parts = (contexts[begin : begin + _READ_AT_ONCE] for begin in range(0, len(contexts), _READ_AT_ONCE))
        return sum(float(next_token_loss(model, part)) * len(part) for part in parts) / len(contexts)


END_OF_TEXT = "<|endoftext|>"
"""The one special token, id 0: stands before every context, and is padding."""


def learn_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `vocabulary` ids (fewer when the texts have too little to merge); it can spell any text.

    The same texts in the same order give the same tokenizer.
    """
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    special = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
    wrap: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = wrap(tokenizer_object=backend, **special)
    return tokenizer


def unigram_loss(train: Int[np.ndarray, "_ context"], held_out: Int[np.ndarray, "_ context"], vocabulary: int) -> float:
    """Mean loss (nats per token) on `held_out` of each token's frequency in `train`, one added to every count."""
    return float(-np.log(_frequencies(train, vocabulary)[held_out]).mean())


def bigram_loss(train: Int[np.ndarray, "_ context"], held_out: Int[np.ndarray, "_ context"], vocabulary: int) -> float:
    """Mean loss (nats per token) on `held_out` of counts of pairs in `train`, the start token before each context.

    What a token is followed by is mixed with the unigram frequencies in proportion to how many different tokens
    follow it (Witten and Bell 1991): (count of the pair + followers x unigram) / (count of the first + followers).
    """
    pairs, counts = np.unique(_pairs(train, vocabulary), return_counts=True)
    first = pairs // vocabulary
    followers = np.bincount(first, minlength=vocabulary)
    total = np.bincount(first, weights=counts, minlength=vocabulary)
    wanted = _pairs(held_out, vocabulary)
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen = np.where(pairs[place] == wanted, counts[place], 0)
    before, unigram = wanted // vocabulary, _frequencies(train, vocabulary)[wanted % vocabulary]
    weight = np.maximum(followers, 1)[before]  # a token that nothing followed leaves the unigram alone
    return float(-np.log((seen + weight * unigram) / (total[before] + weight)).mean())


def _frequencies(tokens: Int[np.ndarray, "_ context"], vocabulary: int) -> Float[np.ndarray, " vocabulary"]:
    counts = np.bincount(tokens.reshape(-1), minlength=vocabulary) + 1.0
    return np.asarray(counts / counts.sum())


def _pairs(tokens: Int[np.ndarray, "n context"], vocabulary: int) -> Int[np.ndarray, " pair"]:
    """Each token and the one before it, as one number."""
    before = np.concatenate([np.full((len(tokens), 1), START), tokens[:, :-1]], axis=1)
    return np.asarray(before.astype(np.int64) * vocabulary + tokens).reshape(-1)
