from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from autointerp.metrics.differences import contrast
from autointerp.metrics.intervals import (
    EQUAL,
    FEW,
    NONE,
    ONE,
    PERCENTILE,
    Resampling,
    holm,
    interval,
    mean_interval,
    median_of,
)
from autointerp.metrics.metrics import scale_of
from tests.metrics.shapes_of_scores import shapes

PLAN = Resampling(resamples=4000, confidence=0.95)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def slow_bca(values: np.ndarray, statistic: str, plan: Resampling, seed: int) -> tuple[float, float]:
    """Efron's BCa by the book: one resample at a time."""
    known: dict[str, Callable[[np.ndarray], np.floating[Any]]] = {"mean": np.mean, "median": np.median}
    compute = known[statistic]
    generator, n = rng(seed), len(values)
    drawn = np.array([compute(values[generator.integers(0, n, n)]) for _ in range(plan.resamples)])
    observed = compute(values)
    shift = stats.norm.ppf(((drawn < observed).mean() + (drawn <= observed).mean()) / 2)
    left_out = np.array([compute(np.delete(values, i)) for i in range(n)])
    centred = left_out.mean() - left_out
    acceleration = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    ends = []
    for tail in ((1 - plan.confidence) / 2, (1 + plan.confidence) / 2):
        z = shift + stats.norm.ppf(tail)
        ends.append(np.quantile(drawn, stats.norm.cdf(shift + z / (1 - acceleration * z))))
    return float(ends[0]), float(ends[1])


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_interval_is_the_bca_of_the_book(statistic: str) -> None:
    values = rng().gamma(1.0, 0.3, size=40)  # skewed: the percentile interval would miss by more than the tolerance
    found = interval(values, statistic, Resampling(20_000, 0.95), rng(1))
    low, high = slow_bca(values, statistic, Resampling(20_000, 0.95), 2)
    assert found.value == pytest.approx(getattr(np, statistic)(values))
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)
    assert not found.note


def test_intervals_of_a_mean_cover_it_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(300):
        found = interval(rng(seed).normal(0.3, 0.2, size=40), "mean", Resampling(1000, 0.9), rng(seed + 1000))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 0.84 <= covered / 300 <= 0.95  # 0.9, with three standard errors and a little of small-sample shortfall


def slow_studentised(values: np.ndarray, plan: Resampling, seed: int) -> tuple[float, float]:
    """The bootstrap-t by the book: one resample at a time."""
    generator, n = rng(seed), len(values)
    drawn = []
    for _ in range(plan.resamples):
        resample = values[generator.integers(0, n, n)]
        drawn.append((resample.mean() - values.mean()) / (resample.std(ddof=1) / n**0.5))
    lower, upper = np.quantile(drawn, [(1 - plan.confidence) / 2, (1 + plan.confidence) / 2])
    error = values.std(ddof=1) / n**0.5
    return float(values.mean() - upper * error), float(values.mean() - lower * error)


def test_the_interval_of_a_mean_is_the_studentised_one_of_the_book() -> None:
    values = rng().gamma(1.0, 0.3, size=40)
    found = mean_interval(values, Resampling(20_000, 0.95), rng(1))
    low, high = slow_studentised(values, Resampling(20_000, 0.95), 2)
    assert found.value == pytest.approx(values.mean())
    assert not found.note
    assert found.low == pytest.approx(low, abs=0.008)
    assert found.high == pytest.approx(high, abs=0.008)
    assert high - values.mean() > 1.2 * (values.mean() - low)  # skewed: Student's interval would not do


def test_of_few_units_and_of_ties_the_interval_of_a_mean_is_students() -> None:
    few, tied = rng().normal(size=7), np.array([1.0] + [0.0] * 11)  # 35% of the resamples of the latter have no spread
    for values in (few, tied):
        found = mean_interval(values, Resampling(1000, 0.9), rng(1))
        student = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((student.low, student.high))
    assert "only 7 units" in mean_interval(few, PLAN, rng()).note
    for same, note in (([], NONE), ([0.4], ONE), ([0.2] * 9, EQUAL)):
        none = mean_interval(np.array(same), PLAN, rng())
        assert (none.low, none.high, none.note) == (None, None, note)


@pytest.mark.slow
@pytest.mark.parametrize("units", [7, 12, 24, 64])
def test_the_interval_of_a_mean_covers_few_units_where_bca_falls_short(units: int) -> None:
    """This is why means have it: of 7 units 0.92 where BCa has 0.88, of 12 units 0.95 and 0.91, of 24 0.95 and 0.93."""
    plan, generator = Resampling(500, 0.95), rng(units)
    covered, bca = list[bool](), list[bool]()
    for draw, mean in shapes().values():
        for _ in range(120):
            values = draw(generator, units)
            for found, into in (
                (mean_interval(values, plan, generator), covered),
                (interval(values, "mean", plan, generator), bca),
            ):
                assert found.low is not None
                assert found.high is not None
                into.append(found.low <= mean <= found.high)
    assert (0.9 if units < FEW else 0.93) <= np.mean(covered) <= 0.98
    if units <= 24:
        assert np.mean(bca) < np.mean(covered) - 0.01


def test_the_generator_decides_and_the_confidence_widens() -> None:
    values = rng().normal(size=30)
    assert interval(values, "mean", PLAN, rng(1)) == interval(values, "mean", PLAN, rng(1))
    wide, narrow = (interval(values, "mean", Resampling(4000, c), rng(1)) for c in (0.99, 0.5))
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.low < narrow.low


def test_without_spread_there_is_no_interval() -> None:
    for values, note, value in (([], NONE, None), ([0.4], ONE, 0.4), ([0.2] * 9, EQUAL, 0.2)):
        found = interval(np.array(values), "mean", PLAN, rng())
        assert (found.low, found.high, found.note) == (None, None, note)
        assert found.value == (None if value is None else pytest.approx(value))


def test_a_median_full_of_ties_falls_back_on_percentiles_and_says_so() -> None:
    found = interval(np.array([0.0] * 15 + [1.0] * 2), "median", PLAN, rng())
    assert found.low == found.value == 0
    assert PERCENTILE in found.note


def test_few_units_are_named() -> None:
    assert "only 5 units" in interval(rng().normal(size=5), "mean", PLAN, rng()).note
    assert "only 3 units" in contrast(rng().normal(size=30), rng(1).normal(size=3), PLAN, rng()).difference.note
    assert not contrast(rng().normal(size=30), rng(1).normal(size=10), PLAN, rng()).difference.note


@pytest.mark.parametrize("p_values", [
    [], [None], [0.03], [0.01, 0.04, 0.03], [0.2, None, 0.001, 0.001, 0.9, None, 0.02], [1.0, 1.0, 0.5],
    [None if p > 0.9 else float(p) for p in rng(11).random(60)], [float(p) for p in rng(12).random(200) ** 6],
])  # fmt: skip
def test_holm_equals_statsmodels_and_leaves_the_unknown_unknown(p_values: list[float | None]) -> None:
    found = holm(p_values)
    known = [p for p in p_values if p is not None]
    assert [p is None for p in found] == [p is None for p in p_values]
    if known:
        expected = multipletests(known, method="holm")[1]
        assert [p for p in found if p is not None] == pytest.approx(list(expected))


@given(arrays(np.float64, array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.floats(-9, 9)), st.data())
@settings(max_examples=80, deadline=None)
def test_a_median_by_sorting_is_numpy_s(values: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-1, values.ndim - 1))
    assert np.array_equal(median_of(values, axis), np.median(values, axis=axis))


def test_a_mean_is_never_said_to_lie_beyond_the_scale_of_its_score() -> None:
    """Of scores near an end and few: the interval is cut there, and is the same elsewhere."""
    values = np.array([0.0, 0.0, 0.01, 0.0, 0.0, 0.71, 0.58, 0.0, 0.46, 0.0])
    free = mean_interval(values, Resampling(10_000, 0.95), rng(3))
    cut = mean_interval(values, Resampling(10_000, 0.95), rng(3), scale_of("pearson"))
    assert free.high is not None
    assert free.high > 1
    assert (cut.value, cut.low, cut.high) == (free.value, free.low, 1.0)
    low = mean_interval(-values, Resampling(10_000, 0.95), rng(3), scale_of("auroc"))
    assert low.low == 0.0
    assert scale_of("weighted_spearman") == (-1.0, 1.0)
    assert scale_of("r2") == (-np.inf, 1.0)
    assert scale_of("anything else") == (-np.inf, np.inf)
