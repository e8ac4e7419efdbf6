"""Bounds of shares and what they say: against scipy, a slow twin and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from autointerp.metrics.intervals import Resampling, interval
from autointerp.planted.bounds import Standing, exact_bounds, share_interval, standing

PLAN = Resampling(2000, 0.95)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 25, 33, 200])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_all_alike_is_clopper_and_pearson(n: int, confidence: float) -> None:
    for successes, value in ((n, 1.0), (0, 0.0)):
        expected = binomtest(successes, n).proportion_ci(confidence, "exact")
        assert exact_bounds(value, n, confidence) == pytest.approx((expected.low, expected.high))


def test_twenty_five_of_twenty_five_is_not_certainty() -> None:
    found = share_interval(np.ones(25), PLAN, _rng())
    assert found.value == found.high == 1
    assert found.low == pytest.approx(0.8628, abs=1e-4)


def test_all_ties_are_bounded_too() -> None:
    """Of 20 ties a tie has a chance of at least 0.83; if all else were wins, the mean would be 0.58."""
    found = share_interval(np.full(20, 0.5), PLAN, _rng())
    assert found.low is not None
    assert found.high is not None
    assert (found.low, found.high) == pytest.approx((0.5 * 0.8316, 1 - 0.5 * 0.8316), abs=1e-4)


def test_what_differs_is_resampled() -> None:
    values = np.array([1.0, 0.5, 0.0, 1.0, 1.0, 0.25, 0.75, 1.0])
    assert share_interval(values, PLAN, _rng()) == interval(values, "mean", PLAN, _rng())
    assert share_interval(np.empty(0), PLAN, _rng()).value is None


@pytest.mark.parametrize(
    ("low", "high", "n", "said"),
    [
        (0.20, 1.00, 5, Standing.TOO_FEW),
        (0.20, 1.00, 50, Standing.TOO_FEW),
        (0.50, 0.90, 50, Standing.TOO_FEW),
        (0.41, 0.59, 50, Standing.CHANCE),
        (0.40, 0.60, 50, Standing.CHANCE),
        (0.39, 0.59, 50, Standing.TOO_FEW),
        (0.51, 0.58, 50, Standing.CHANCE),
        (0.51, 0.90, 50, Standing.ABOVE),
        (0.10, 0.49, 50, Standing.BELOW),
        (0.60, 0.90, 5, Standing.TOO_FEW),
        (None, None, 50, Standing.TOO_FEW),
    ],
)
def test_at_chance_is_said_by_equivalence_alone(low: float | None, high: float | None, n: int, said: Standing) -> None:
    assert standing(low, high, n) is said
