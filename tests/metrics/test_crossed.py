"""Intervals over units crossed with raters: they cover about as often as they say, and severity cancels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autointerp.artifacts import rng_of
from autointerp.metrics.crossed import (
    ONE_RATER,
    crossed_interval,
    median_difference,
    median_over,
    of_units,
    rank_correlation,
    superiority,
)
from autointerp.metrics.intervals import Resampling

PLAN = Resampling(500, 0.95)


def totals(rng: np.random.Generator, centre: float, severity: np.ndarray, units: int = 24) -> np.ndarray:
    """Totals of 0 to 14: units of spread 3, and 1.5 for what is left."""
    noise = rng.normal(0, 1.5, (units, severity.size))
    found: np.ndarray = np.clip(np.rint(centre + rng.normal(0, 3, (units, 1)) + severity + noise), 0, 14)
    return found


def test_statistics_leave_out_what_nobody_rated() -> None:
    ratings = np.array([[1, np.nan], [np.nan, np.nan], [4, 6], [2, 2]])
    np.testing.assert_array_equal(of_units(ratings), [1, np.nan, 5, 2])
    rng = rng_of("medians")
    rows = rng.normal(size=(40, 7))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[0] = np.nan
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(median_over(rows)[1:], np.nanmedian(rows[1:], axis=1))
    assert np.isnan(median_over(rows)[0])
    assert superiority(np.array([1.0, 3.0, np.nan]), np.array([2.0, 3.0])) == pytest.approx((0 + 0 + 1 + 0.5) / 4)


@pytest.mark.parametrize(
    ("raters", "spread", "least", "least_of_difference"), [(3, 1.0, 0.91, 0.93), (2, 2.0, 0.78, 0.93)]
)
def test_coverage(raters: int, spread: float, least: float, least_of_difference: float) -> None:
    """As the docstring says: few raters who differ much make a median's interval too narrow, a difference's never."""
    rng = rng_of("coverage", raters)
    hits = of_difference = 0
    for _ in range(150):
        severity = rng.normal(0, spread, raters)
        first, second = totals(rng, 8, severity), totals(rng, 6, severity)
        found = crossed_interval([first], median_over, PLAN, rng)
        apart = crossed_interval([first, second], median_difference, PLAN, rng)
        hits += (found.low or 0) <= 8 <= (found.high or 0)
        of_difference += (apart.low or 0) <= 2 <= (apart.high or 0)
    assert hits / 150 >= least
    assert of_difference / 150 >= least_of_difference


def test_severity_widens_a_median_and_not_a_difference() -> None:
    rng = rng_of("severity")
    alike, apart = np.zeros(4), np.array([-3.0, -1.0, 1.0, 3.0])
    first, second = totals(rng, 7, alike), totals(rng, 7, alike)

    def width(samples: list[np.ndarray]) -> float:
        statistic = median_over if len(samples) == 1 else median_difference
        found = crossed_interval(samples, statistic, Resampling(4000, 0.95), rng_of("drawn"))
        return (found.high or 0) - (found.low or 0)

    assert width([first + apart]) > 1.2 * width([first])
    assert width([first + apart, second + apart]) == pytest.approx(width([first, second]), rel=0.1)


def test_what_can_not_be_drawn_again_is_said() -> None:
    rng = rng_of("few")
    alone = crossed_interval([totals(rng, 7, np.zeros(1))], median_over, PLAN, rng)
    assert ONE_RATER in alone.note
    assert alone.low is not None
    assert "only 2 raters" in crossed_interval([totals(rng, 7, np.zeros(2))], median_over, PLAN, rng).note
    assert crossed_interval([np.array([[3.0, 4.0]])], median_over, PLAN, rng).low is None
    assert crossed_interval([np.empty((0, 2))], median_over, PLAN, rng).value is None


def test_rank_correlation_is_scipys_and_says_where_there_is_none() -> None:
    rng = rng_of("ranks")
    x = rng.integers(0, 14, 40).astype(float)
    y = x + rng.normal(0, 4, 40)
    found = rank_correlation(x, y, PLAN, rng)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert -1 <= found.low < found.value < found.high <= 1
    assert rank_correlation(np.ones(9), y[:9], PLAN, rng).value is None
    assert rank_correlation(x[:2], y[:2], PLAN, rng).value is None
