from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from autointerp.metrics.intervals import (
    EQUAL,
    NONE,
    ONE,
    PERCENTILE,
    Resampling,
    contrast,
    holm,
    interval,
    paired_contrast,
    superiority,
)

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


def test_the_two_sample_interval_agrees_with_welch_where_that_is_right() -> None:
    first, second = rng(1).normal(0.4, 0.2, size=80), rng(2).normal(0.3, 0.1, size=60)
    found = contrast(first, second, Resampling(20_000, 0.95), rng(3))
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    assert found.difference.value == pytest.approx(first.mean() - second.mean())
    assert found.difference.low == pytest.approx(welch.low, abs=0.004)
    assert found.difference.high == pytest.approx(welch.high, abs=0.004)


def slow_permutation_p(first: np.ndarray, second: np.ndarray) -> float:
    """Exact: every assignment of the pooled values, Welch's t from scipy."""
    pooled, n = np.concatenate([first, second]), len(first)
    observed = abs(stats.ttest_ind(first, second, equal_var=False).statistic)
    extreme = []
    for chosen in combinations(range(len(pooled)), n):
        mask = np.isin(np.arange(len(pooled)), chosen)
        t = stats.ttest_ind(pooled[mask], pooled[~mask], equal_var=False).statistic
        extreme.append(abs(t) >= observed - 1e-9)
    return float(np.mean(extreme))


def test_the_permutation_p_is_the_exact_one() -> None:
    first, second = rng(4).normal(0.8, 1, size=5), rng(5).normal(0, 2, size=6)
    found = contrast(first, second, Resampling(40_000, 0.95), rng(6))
    assert found.p == pytest.approx(slow_permutation_p(first, second), abs=0.01)


def slow_flip_p(each: np.ndarray) -> float:
    """Exact: every pattern of signs, studentised."""

    def t(values: np.ndarray) -> float:
        return abs(float(values.mean() / (values.std(ddof=1) / len(values) ** 0.5)))

    return float(np.mean([t(each * np.array(s)) >= t(each) - 1e-9 for s in product((-1, 1), repeat=len(each))]))


def test_the_paired_p_is_the_exact_studentised_one() -> None:
    first, second = rng(7).normal(0.5, 1, size=9), rng(8).normal(0, 1, size=9)
    found = paired_contrast(first, second, Resampling(40_000, 0.95), rng(9))
    assert found.p == pytest.approx(slow_flip_p(first - second), abs=0.01)
    assert found.difference.value == pytest.approx((first - second).mean())
    alone = interval(first - second, "mean", Resampling(40_000, 0.95), rng(9))
    assert (found.difference.low, found.difference.high) == (alone.low, alone.high)


def test_equal_means_of_unequal_spread_are_not_called_different() -> None:
    """The plain permutation of means rejects far too often here (small arm, wide spread): studentised holds."""
    rejected = 0
    for s in range(200):
        first, second = rng(s).normal(0, 2, size=12), rng(s + 9999).normal(0, 0.4, size=60)
        p = contrast(first, second, Resampling(1000, 0.95), rng(s)).p
        assert p is not None
        rejected += p < 0.05
    assert rejected / 200 < 0.11


def test_a_p_is_never_zero_and_counts_ties() -> None:
    far = [contrast(np.arange(10.0) + 1000, np.arange(10.0), Resampling(n, 0.95), rng(1)).p for n in (1000, 4000)]
    assert far[0] == far[1] == pytest.approx(stats.ttest_ind(np.arange(10.0) + 1000, np.arange(10.0)).pvalue)
    each = np.arange(30.0) + 10  # no pattern of signs that is drawn is as extreme
    signs = [paired_contrast(each, np.zeros(30), Resampling(n, 0.95), rng(1)).p for n in (1000, 4000)]
    assert signs[0] == signs[1] == pytest.approx(stats.ttest_1samp(each, 0).pvalue)
    assert signs[0] is not None
    assert 0 < signs[0] < 1e-9
    same = contrast(np.array([1.0, 2, 3]), np.array([1.0, 2, 3]), Resampling(1000, 0.95), rng())
    assert same.p == 1
    equal = paired_contrast(np.ones(5), np.ones(5), PLAN, rng())
    assert (equal.difference.value, equal.difference.low, equal.difference.note, equal.p) == (0, None, EQUAL, 1)


def test_constant_samples_are_handled_without_a_warning() -> None:
    apart = contrast(np.full(6, 0.5), np.full(6, 0.1), Resampling(1000, 0.95), rng())
    assert apart.difference.note == EQUAL
    assert apart.p is not None
    assert apart.p < 0.02  # only the two arrangements like this one: 2 of 924
    half = contrast(np.full(12, 0.5), rng().normal(size=12), Resampling(1000, 0.95), rng())
    assert half.difference.low is not None


def test_one_observation_or_none_gives_no_interval_and_no_p() -> None:
    for found in (
        contrast(np.array([0.5]), np.arange(5.0), PLAN, rng()),
        paired_contrast(np.ones(1), np.zeros(1), PLAN, rng()),
    ):
        assert (found.difference.low, found.difference.high, found.p, found.difference.note) == (None, None, None, ONE)
        assert found.difference.value is not None
    empty = contrast(np.empty(0), np.arange(5.0), PLAN, rng())
    assert (empty.difference.value, empty.above.value, empty.p, empty.difference.note) == (None, None, None, NONE)
    assert paired_contrast(np.empty(0), np.empty(0), PLAN, rng()).difference.note == NONE


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.integers(1, 9), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5])),
    arrays(np.float64, st.integers(1, 9), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5])),
)
def test_superiority_equals_counting_pairs(first: np.ndarray, second: np.ndarray) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in first for b in second]
    assert superiority(first, second) == pytest.approx(sum(pairs) / len(pairs))


def test_memory_is_bounded_without_changing_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = rng(1).normal(0.5, 1, size=30), rng(2).normal(0, 1, size=30)
    whole = contrast(first, second, Resampling(2000, 0.95), rng(3))
    monkeypatch.setattr("autointerp.metrics.intervals._BLOCK", 600)
    blocks = contrast(first, second, Resampling(2000, 0.95), rng(3))
    assert blocks.p == pytest.approx(whole.p, abs=0.02)


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
