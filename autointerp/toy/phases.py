"""Two features in one dimension: which solution has the least loss, by formula, and which one training finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from autointerp.toy.geometry import represented
from autointerp.toy.toy_models import ToyModels, ToySpec
from autointerp.toy_rows import ToyPhaseRow

FIRST, SECOND, BOTH, NEITHER = "first alone", "second alone", "both", "neither"


def theoretical_losses(density: float, ratio: float) -> dict[str, float]:
    """Expected loss of the solutions, for features that are uniform in [0, 1] where present.

    Alone, W = (1, 0) or (0, 1): the other feature is guessed by its mean, which leaves its variance p/3 - p^2/4. Both,
    W = (1, -1) without a bias: each is off by the smaller of the two where both are present, p^2 E[min^2] = p^2 / 6. A
    bias may lower that a little: the true least loss is at most what is said here.
    """
    variance = density / 3 - density**2 / 4
    return {FIRST: ratio * variance, SECOND: variance, BOTH: (1 + ratio) * density**2 / 6}


def phase_specs(densities: Sequence[float], ratios: Sequence[float], seeds: int) -> list[ToySpec]:
    """A model per density, ratio and seed."""
    return [ToySpec(p, (1.0, ratio), seed) for p in densities for ratio in ratios for seed in range(seeds)]


def phase_of(weights: Float[np.ndarray, "hidden feature"]) -> str:
    """Which of the two features are represented."""
    first, second = represented(weights)
    return {(True, True): BOTH, (True, False): FIRST, (False, True): SECOND}.get((bool(first), bool(second)), NEITHER)


def phase_rows(toys: ToyModels) -> list[ToyPhaseRow]:
    """Where each model ended, beside where it should."""
    rows = []
    for spec, weights, loss in zip(toys.specs, toys.weights.numpy(), toys.loss.tolist(), strict=True):
        losses = theoretical_losses(spec.density, spec.importance[1])
        best = min(losses, key=losses.__getitem__)
        rows.append(
            ToyPhaseRow(spec.density, spec.importance[1], spec.seed, phase_of(weights), best, loss, losses[best])
        )
    return rows
