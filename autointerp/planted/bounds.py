"""Bounds of a share over meanings, and what they allow to say: "at chance" is a finding, and needs a narrow interval.

A bootstrap has nothing to resample where all meanings are alike, which is where a method is at its best; there the
bound is exact, by the binomial law. And an interval that holds 0.5 does not say that a method is at chance: a wide one
says that nobody knows. That is said by an equivalence test alone: the whole interval lies within MARGIN of 0.5.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from jaxtyping import Float

from autointerp.metrics.intervals import EQUAL, NONE, Interval, Resampling, interval

CHANCE = 0.5
MARGIN = 0.1
"""How far from CHANCE a share may be and still count as chance."""
FEWEST = 6
"""Of fewer meanings nothing is said: that all of five are alike, chance alone gives once in sixteen times."""
_ULP = 1e-9  # bounds that are computed exactly on a margin are on it


class Standing(StrEnum):
    """Where a share lies, as far as its interval tells."""

    ABOVE = "above chance"
    CHANCE = "at chance"
    BELOW = "below chance"
    TOO_FEW = "too few to tell"


def share_interval(values: Float[np.ndarray, " meaning"], plan: Resampling, rng: np.random.Generator) -> Interval:
    """The mean of shares in [0, 1] with an interval: BCa bootstrap, or exact where all are equal."""
    if not values.size:
        return Interval(None, note=NONE)
    if np.ptp(values) == 0:
        value = float(values[0])
        low, high = exact_bounds(value, values.size, plan.confidence)
        return Interval(value, low, high, note=f"exact: {EQUAL.partition(':')[0]}")
    return interval(values, "mean", plan, rng)


def exact_bounds(value: float, n: int, confidence: float) -> tuple[float, float]:
    """Bounds of a mean of shares of which `n` were drawn and all were `value`: Clopper and Pearson's (1934).

    With n of n successes a success has a chance of at least (alpha / 2)^(1/n). The rest may be anything in [0, 1].
    """
    alike = ((1 - confidence) / 2) ** (1 / n)
    return value * alike, value * alike + 1 - alike


def standing(low: float | None, high: float | None, n: int) -> Standing:
    """What an interval of a share over `n` meanings says."""
    if low is None or high is None or n < FEWEST:
        return Standing.TOO_FEW
    if low >= CHANCE - MARGIN - _ULP and high <= CHANCE + MARGIN + _ULP:
        return Standing.CHANCE
    if low > CHANCE:
        return Standing.ABOVE
    return Standing.BELOW if high < CHANCE else Standing.TOO_FEW
