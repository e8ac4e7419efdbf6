"""Subjects with scrambled weights: what a layer carries when nothing that was learned is left in its matrices.

Heap et al. 2025 (Sparse autoencoders can interpret randomly initialized transformers): features of such a model are
explained about as well as those of the trained one. Two schemes. `permuted`: the entries of every weight matrix change
places, so that their distribution stays; embeddings, norms and biases are kept, and with them which token stands where.
`init`: the model's own initialiser draws everything anew, embeddings too; of a deep model's layers little but the mean
of attention is left, so that it is an easy null.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of, seed_of
from autointerp.study_inputs import ScrambledSubject
from autointerp.subject.forward import Subject


def hook_of(hook: str, name: str) -> str:
    """What a hook of the scrambled subject `name` is called beside those of the subject itself."""
    return f"{hook}@{name}"


def split_hook(hook: str) -> tuple[str, str]:
    """A hook's name in its model, and the scrambled subject that it is of; '' for the subject itself."""
    plain, _, name = hook.partition("@")
    return plain, name


def scramble(subject: Subject, wanted: ScrambledSubject) -> Subject:
    """A scrambled copy with the same hooks. `subject` is left as it is; the same seed gives the same weights.

    Of `permuted`, what does not lie on the way to the last hook is not copied but shared: a copy of the first layers of
    a deep model takes little memory.
    """
    model = _permuted(subject, wanted.seed) if wanted.scheme == "permuted" else _drawn(subject, wanted.seed)
    identity = f"{subject.identity}+{wanted.name}"
    loaded = replace(subject.loaded, model=model.eval().requires_grad_(False), identity=identity)
    return Subject(loaded, [hook.name for hook in subject.hooks], subject.start_token)


def _permuted(subject: Subject, seed: int) -> Any:
    matrices = _matrices(subject)
    own = {id(parameter) for parameter in matrices.values()}
    tensors = [*subject.model.parameters(), *subject.model.buffers()]
    made = copy.deepcopy(subject.model, {id(tensor): tensor for tensor in tensors if id(tensor) not in own})
    for name in matrices:
        parameter = made.get_parameter(name)
        order = rng_of(seed, "permuted", name).permutation(parameter.numel())
        mixed = parameter.data.reshape(-1)[torch.as_tensor(order, device=parameter.device)]
        parameter.data.copy_(mixed.reshape(parameter.shape))
    return made


def _matrices(subject: Subject) -> dict[str, torch.nn.Parameter]:
    """The weight matrices, embeddings apart, of all modules on the way to the last hook and beside it."""
    entered: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: entered.add(name))
        for name, module in subject.model.named_modules()
    ]
    try:
        subject.activations(np.zeros((1, 2), dtype=np.int64))
    finally:
        for handle in handles:
            handle.remove()
    ends = (subject.model.get_input_embeddings(), subject.model.get_output_embeddings())
    kept = {id(parameter) for end in ends if end is not None for parameter in end.parameters()}
    return {
        f"{name}.{own}" if name else own: parameter
        for name, module in subject.model.named_modules()
        if not isinstance(module, torch.nn.Embedding) and {name, name.rpartition(".")[0]} & entered
        for own, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1 and id(parameter) not in kept
    }


def _drawn(subject: Subject, seed: int) -> Any:
    made = copy.deepcopy(subject.model)
    for parameter in made.parameters():
        parameter.__dict__.pop("_is_hf_initialized", None)  # else transformers takes it for loaded, and leaves it
    devices = [subject.device] if subject.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed_of(seed, "init") % 2**63)
        made.apply(made._init_weights)
    return made


class WithScrambled:
    """A subject and scrambled ones, read together: their hooks stand beside its own (`hook_of`)."""

    def __init__(self, subject: Subject, scrambled: Mapping[str, Subject]) -> None:
        """`scrambled`: by name."""
        self._subject, self._scrambled = subject, dict(scrambled)
        self.widths = dict(subject.widths)
        """Of the vectors at every hook."""
        for name, other in self._scrambled.items():
            self.widths |= {hook_of(hook, name): width for hook, width in other.widths.items()}

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[Tensor, "context token width"]]:
        """See `Subject.activations`."""
        read = self._subject.activations(tokens)
        for name, other in self._scrambled.items():
            read |= {hook_of(hook, name): vectors for hook, vectors in other.activations(tokens).items()}
        return read
