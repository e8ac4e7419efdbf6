"""The methods by name, what each costs, and the dumb ones that every other must beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.attribution.gradients import STEPS, Baseline, baseline, gradient_times_input, integrated_gradients
from autointerp.attribution.removal import LIME_DRAWS, left_out, lime_of_tokens, occluded
from autointerp.attribution.rollout import rollout
from autointerp.attribution.targets import Outputs


@dataclass(frozen=True)
class AttributionSettings:
    """What the methods are told."""

    baseline: Baseline = "end"
    """What stands where a token is taken away, and where integrated gradients begin."""
    steps: int = STEPS
    """Of integrated gradients."""
    draws: int = LIME_DRAWS
    """Of LIME."""
    seed: int = 0


@dataclass(frozen=True)
class AttributionMatrix:
    """A_ij of one passage: how much position i speaks for target j."""

    values: Float[np.ndarray, "position target"]
    """With sign; 0 for fixed positions and for those that a target doesn't depend on."""
    sizes: Float[np.ndarray, "position target"] | None = None
    """Euclidean length over the embedding's dimensions; None where a method has none."""
    delta: Float[np.ndarray, " target"] | None = None
    """Convergence delta, of integrated gradients."""
    change: Float[np.ndarray, " target"] | None = None
    """What its values should add up to."""


@dataclass(frozen=True)
class AttributionMethod:
    """One of them."""

    compute: Callable[[Outputs, AttributionSettings], AttributionMatrix]
    forward: Callable[[int, int, AttributionSettings], int]
    """(tokens that can be taken away, targets, settings) -> rows that go forward through the model."""
    backward: Callable[[int, int, AttributionSettings], int]
    """Of them, how many go backward: once per target."""
    drawn: bool = False
    """Whether another seed gives another matrix."""
    dumb: bool = False
    """Whether it knows nothing of the model."""
    label: str = ""
    """What a reader must know of it."""


def _integrated(outputs: Outputs, settings: AttributionSettings) -> AttributionMatrix:
    found = integrated_gradients(outputs, baseline(outputs, settings.baseline), settings.steps)
    return AttributionMatrix(found.signed(), found.sizes(), found.delta, found.change)


def _lime(outputs: Outputs, settings: AttributionSettings) -> AttributionMatrix:
    rng = rng_of(settings.seed, "lime", outputs.passage.key)
    return AttributionMatrix(lime_of_tokens(outputs, baseline(outputs, settings.baseline), settings.draws, rng))


def _random(outputs: Outputs, settings: AttributionSettings) -> AttributionMatrix:
    rng = rng_of(settings.seed, "random attribution", outputs.passage.key)
    return AttributionMatrix(_causal(outputs, rng.normal(size=_shape(outputs))))


def _recent(outputs: Outputs, settings: AttributionSettings) -> AttributionMatrix:
    positions, targets = _shape(outputs)
    distance = outputs.passage.prompt + np.arange(targets)[None, :] - np.arange(positions)[:, None]
    return AttributionMatrix(_causal(outputs, 1.0 / np.maximum(distance, 1)))


def _shape(outputs: Outputs) -> tuple[int, int]:
    return len(outputs.passage.ids) - 1, outputs.passage.targets


def _causal(outputs: Outputs, values: Float[np.ndarray, "position target"]) -> Float[np.ndarray, "position target"]:
    values[: outputs.passage.fixed] = 0.0
    for target in range(outputs.passage.targets):
        values[outputs.passage.before(target) :, target] = 0.0
    return values


INTEGRATED, OCCLUSION, RANDOM, RECENCY = "integrated-gradients", "occlusion", "random", "recency"
METHODS: Mapping[str, AttributionMethod] = {
    INTEGRATED: AttributionMethod(
        _integrated, lambda parts, targets, s: 2 * s.steps, lambda parts, targets, s: s.steps * targets
    ),
    "gradient-x-input": AttributionMethod(
        lambda outputs, s: AttributionMatrix(gradient_times_input(outputs)),
        lambda parts, targets, s: 3,
        lambda parts, targets, s: targets,
    ),
    OCCLUSION: AttributionMethod(
        lambda outputs, s: AttributionMatrix(occluded(outputs, baseline(outputs, s.baseline))),
        lambda parts, targets, s: parts + 1,
        lambda parts, targets, s: 0,
    ),
    "leave-one-out": AttributionMethod(
        lambda outputs, s: AttributionMatrix(left_out(outputs)),
        lambda parts, targets, s: parts + 1,
        lambda parts, targets, s: 0,
    ),
    "lime": AttributionMethod(_lime, lambda parts, targets, s: s.draws, lambda parts, targets, s: 0, drawn=True),
    "attention-rollout": AttributionMethod(
        lambda outputs, s: AttributionMatrix(rollout(outputs)),
        lambda parts, targets, s: 1,
        lambda parts, targets, s: 0,
        label="a baseline: it reads attention alone, no value and no MLP, and knows no sign",
    ),
    RECENCY: AttributionMethod(
        _recent, lambda parts, targets, s: 0, lambda parts, targets, s: 0, dumb=True,
        label="dumb: the nearer, the more important",
    ),
    RANDOM: AttributionMethod(
        _random, lambda parts, targets, s: 0, lambda parts, targets, s: 0, drawn=True, dumb=True,
        label="dumb: drawn by chance",
    ),
}  # fmt: skip
"""In the order in which they are shown."""
DUMB = tuple(name for name, method in METHODS.items() if method.dumb)
