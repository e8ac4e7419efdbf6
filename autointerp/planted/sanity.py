"""Sanity checks of the scores themselves: does a score fall when half of the true labels go, or as many false ones are
added?

The two tests of Oikarinen et al. (Evaluating Neuron Explanations, ICML 2025), on planted units, whose labels are known.
The prediction is the unit's own rule; halved, it misses each active token with a chance of a half; doubled, it is
active on as many silent tokens again, drawn over the whole text. A metric passes on a slice where the score falls.
Where the slice holds few of the added tokens it can't, however good the metric is: the slice is what fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.benchmark_rows import SanityRow
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM
from autointerp.metrics.intervals import Resampling
from autointerp.metrics.metrics import CONSTANT_PREDICTION, score_rows
from autointerp.planted.activations import SIZES
from autointerp.planted.bounds import share_interval
from autointerp.planted.meanings import NOISE
from autointerp.planted.units import PlantedUnit
from autointerp.records import Unscored

METRICS = ("pearson", "spearman", "auroc", "average_precision", "weighted_pearson")
"""Scores of a run that need no calibration; `weighted_pearson` stands for text as it comes."""
UNIFORM = "uniform"
"""All contexts that are drawn blindly: 60."""
SLICES = (TOP_AND_RANDOM, RANDOM_ONLY, UNIFORM)
HALVED, DOUBLED = "half of the labels missing", "as many labels added"
DRAWS = 8
"""Changed predictions per unit."""

Tokens = Float[np.ndarray, " token"]


@dataclass(frozen=True)
class _Slice:
    truth: Tokens
    weights: Tokens | None


def halved(truth: Tokens, density: float, rng: np.random.Generator) -> Tokens:
    """Each active token is missed with a chance of a half."""
    return np.where(rng.random(truth.size) < 0.5, 0, truth).astype(np.float32)


def doubled(truth: Tokens, density: float, rng: np.random.Generator) -> Tokens:
    """Each silent token is active with the chance that makes as many false labels as true ones, over the whole text."""
    added = (truth == 0) & (rng.random(truth.size) < density / (1 - density))
    return np.where(added, truth.max(initial=1.0), truth).astype(np.float32)


CHANGES: Mapping[str, Callable[[Tokens, float, np.random.Generator], Tokens]] = {HALVED: halved, DOUBLED: doubled}


def sanity_rows(units: Sequence[PlantedUnit], plan: Resampling, seed: int) -> list[SanityRow]:
    """One line per metric, slice and change, over the meanings of both halves: no method is asked, so none is spent."""
    binary = [unit for unit in units if not unit.graded and unit.kind != NOISE]
    sliced = [(unit, _slices(unit)) for unit in binary]
    return [
        _row(metric, name, change, [(unit, slices[name]) for unit, slices in sliced], plan, seed)
        for metric in METRICS
        for name in SLICES
        for change in CHANGES
    ]


def _slices(unit: PlantedUnit) -> dict[str, _Slice]:
    blind = [held.activations for held in unit.held_out if held.random]
    return {
        TOP_AND_RANDOM: _Slice(unit.held.truth.ravel(), unit.held.token_weights),
        RANDOM_ONLY: _Slice(np.concatenate(blind[: SIZES.held_out_random]), None),
        UNIFORM: _Slice(np.concatenate(blind), None),
    }


def _row(
    metric: str, name: str, change: str, units: Sequence[tuple[PlantedUnit, _Slice]], plan: Resampling, seed: int
) -> SanityRow:
    found = [falls for unit, held in units if (falls := list(_falls(metric, change, unit, held, name, seed)))]
    shares = np.array([np.mean(falls) for falls in found], dtype=np.float64)
    share = share_interval(shares, plan, rng_of(seed, "sanity", metric, name, change))
    return SanityRow(metric, name, change, share.value, share.low, share.high, len(found), len(units) - len(found))


def _falls(metric: str, change: str, unit: PlantedUnit, held: _Slice, name: str, seed: int) -> Iterator[bool]:
    """Whether the score falls, per draw; nothing where the unit has no score in the slice."""
    rng = rng_of(seed, "sanity", unit.unit, name, change)
    changed = [CHANGES[change](held.truth, unit.density, rng) for _ in range(DRAWS)]
    whole, *scores = score_rows(metric, held.truth, np.stack([held.truth, *changed]), held.weights)
    if isinstance(whole, Unscored):
        return
    for score in scores:
        if isinstance(score, Unscored) and score != CONSTANT_PREDICTION:
            continue
        yield isinstance(score, Unscored) or score < whole - 1e-9  # all labels gone: nothing is left of the score
