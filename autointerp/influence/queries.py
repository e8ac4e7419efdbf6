"""Queries: what is asked about, as a cost that falls when the model does more of it.

Of a completion its summed loss; of a unit the negative of its mean activation on the contexts where it is highest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.errors import BadInput, nearest
from autointerp.influence.linear_layers import token_losses
from autointerp.study import Study
from autointerp.subject.forward import Subject
from autointerp.subject.hooks import HookPoint
from autointerp.units.interface import Encoder, arm_name

Measurement = Literal["log-probability", "activation"]


@dataclass(frozen=True)
class Query:
    """One question about the model."""

    name: str
    """As a reader is shown it."""
    measurement: Measurement
    tokens: Int[np.ndarray, " token"]
    """All of its text, for methods that know no model."""
    cost: Callable[[], Float[Tensor, ""]]
    """Runs the model once; what its gradient is taken of."""
    completion: int = 0
    """How many of the tokens are the completion."""


def completion_query(subject: Subject, prompt: Sequence[int], completion: Sequence[int], name: str) -> Query:
    """What raised log P(completion | prompt)? BadInput for no completion, or more tokens than the model reads."""
    ids = np.array([*prompt, *completion], dtype=np.int64)
    if not len(completion):
        raise BadInput("the completion is empty", "give a text whose probability is to be explained")
    if subject.start_token is None and not prompt:
        raise BadInput("the prompt is empty, and the model has no start token", "give a prompt")
    subject.with_start(ids[None])  # refuses what is too long

    def cost() -> Float[Tensor, ""]:
        found = token_losses(
            subject.model, subject.start_token, torch.as_tensor(ids[None], device=subject.device), None
        )
        return found[0, len(prompt) :].sum()

    return Query(name, "log-probability", ids, cost, len(completion))


@dataclass(frozen=True)
class TracedUnit:
    """A latent or a neuron, by what it reads."""

    name: str
    arm: str
    hook: HookPoint
    index: int
    sign: int
    encoder: Encoder | None
    """The SAE; None for a neuron."""

    def read(self, vectors: Float[Tensor, "*n width"]) -> Float[Tensor, "*n"]:
        """Its activation on vectors of the hook, at least 0, with gradients where they have them."""
        if self.encoder is None:
            return (self.sign * vectors[..., self.index]).clamp(min=0)
        flat = vectors.reshape(-1, vectors.shape[-1])
        chosen = torch.tensor([self.index], device=vectors.device)
        return self.encoder.encode_latents(flat, chosen)[:, 0].reshape(vectors.shape[:-1])

    def like(self, index: int) -> TracedUnit:
        """Another unit of the same arm."""
        name = f"{self.arm}/{index}{'' if self.encoder is not None else '+' if self.sign > 0 else '-'}"
        return TracedUnit(name, self.arm, self.hook, index, self.sign, self.encoder)


def traced_unit(study: Study, subject: Subject, encoder: Callable[[str], tuple[Encoder, int]], name: str) -> TracedUnit:
    """The unit of a run by its id: `feature/12`, `feature:wide/12`, `neuron/7-`. `encoder`: an SAE by its name, and its
    number of latents. BadInput for what is no such unit.
    """
    hooks = {hook.name: hook for hook in subject.hooks}
    features = {arm_name("feature", sae.name, len(study.sae) > 1): sae for sae in study.sae}
    neurons = {arm_name("neuron", hook, len(hooks) > 1): hook for hook in hooks}
    arm, _, rest = name.rpartition("/")
    number, sign = rest.rstrip("+-"), -1 if rest.endswith("-") else 1
    if arm not in (*features, *neurons) or not number.isdecimal():
        raise BadInput(
            f"'{name}' is no unit that influence is known of", f"give ARM/NUMBER; {nearest(arm, [*features, *neurons])}"
        )
    if arm in features:
        opened, count = encoder(features[arm].name)
        made = TracedUnit(name, arm, hooks[features[arm].hook], int(number), 1, opened)
    else:
        count = subject.widths[neurons[arm]]
        made = TracedUnit(name, arm, hooks[neurons[arm]], int(number), sign, None)
    if made.index >= count:
        raise BadInput(f"'{name}': {arm} has {count} units", f"give a number from 0 to {count - 1}")
    return made


def unit_query(subject: Subject, unit: TracedUnit, contexts: Int[np.ndarray, "context token"]) -> Query:
    """What raised the unit's mean activation over all tokens of `contexts`?"""
    ids = subject.with_start(contexts)
    offset = ids.shape[1] - contexts.shape[1]

    def cost() -> Float[Tensor, ""]:
        return -unit.read(vectors_at(subject.model, unit.hook, ids)[:, offset:]).mean()

    return Query(unit.name, "activation", contexts.reshape(-1), cost)


def vectors_at(
    model: Any, hook: HookPoint, ids: Int[Tensor, "context position"]
) -> Float[Tensor, "context position width"]:
    """What a whole forward pass computes at a hook, with gradients if they are on."""
    kept: list[Tensor] = []

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept.append(next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)))

    def after(_: Any, args: tuple[Any, ...], output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)

    module = model.get_submodule(hook.path)
    handle = (
        module.register_forward_pre_hook(before, with_kwargs=True)
        if hook.side == "in"
        else module.register_forward_hook(after)
    )
    try:
        model(input_ids=ids, use_cache=False)
    finally:
        handle.remove()
    return kept[0].reshape(*ids.shape, -1).float()


def peaks(
    subject: Subject, unit: TracedUnit, contexts: Int[np.ndarray, "context token"], batch: int
) -> Float[np.ndarray, " context"]:
    """The unit's highest activation in each context."""
    found = []
    with torch.no_grad():
        for begin in range(0, len(contexts), batch):
            vectors = subject.activations(contexts[begin : begin + batch])[unit.hook.name]
            found.append(unit.read(vectors).amax(dim=1).cpu().numpy())
    return np.concatenate(found)
