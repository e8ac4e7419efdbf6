"""Differences of scores: against enumeration, scipy, and simulated samples."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from autointerp.metrics.differences import contrast, paired_contrast, superiority, weighted_sum, welch_interval
from autointerp.metrics.intervals import EQUAL, NONE, ONE, Interval, Resampling, bootstrapped, mean_interval
from tests.metrics.shapes_of_scores import shapes

PLAN = Resampling(resamples=4000, confidence=0.95)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_two_samples_is_welchs() -> None:
    first, second = rng(1).normal(0.4, 0.2, size=12), rng(2).normal(0.3, 0.1, size=60)
    found = contrast(first, second, Resampling(1000, 0.9), rng(3)).difference
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert not found.note


@pytest.mark.slow
@pytest.mark.parametrize("units", [7, 12, 24, 64])
def test_welchs_interval_covers_few_units_where_bca_falls_short(units: int) -> None:
    """This is why differences have Welch's: of 7 units BCa has 0.89, of 12 units 0.90."""
    known, generator = shapes(), rng(units)
    covered, bca = [], []
    for one, other in (("features", "neurons"), ("silent", "long tail"), ("long tail", "silent")):
        (draw, mean), (draw_other, mean_other) = known[one], known[other]
        for place in range(500):
            pair = draw(generator, units), draw_other(generator, units)
            covered.append(holds(welch_interval(*pair, 0.95), mean - mean_other))
            if units < 20 and place < 80:
                found = bootstrapped(pair, difference, Resampling(400, 0.95), generator)
                bca.append(holds(found, mean - mean_other))
    assert 0.93 <= np.mean(covered) <= 0.975
    if bca:
        assert np.mean(bca) < 0.925


def difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(first.mean(axis=axis) - second.mean(axis=axis))


def holds(found: Interval, true: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= true <= found.high


@pytest.mark.slow
@pytest.mark.parametrize("units", [12, 64])
def test_the_interval_of_a_difference_of_medians_covers_it(units: int) -> None:
    draws, generator = shapes(), rng(units)
    medians = {name: np.median(draw(rng(), 1_000_000)) for name, (draw, _) in draws.items()}
    covered = []
    for one, other in (("features", "neurons"), ("long tail", "features")):
        for _ in range(150):
            pair = draws[one][0](generator, units), draws[other][0](generator, units)
            found = contrast(*pair, Resampling(400, 0.95), generator).medians
            assert found.value == np.median(pair[0]) - np.median(pair[1])
            covered.append(holds(found, float(medians[one] - medians[other])))
    assert 0.9 <= np.mean(covered) <= 0.99


def test_how_often_the_same_unit_is_above_has_wilsons_interval() -> None:
    each = np.concatenate([np.full(13, 0.1), np.full(7, -0.2)])
    found = paired_contrast(each, np.zeros(20), Resampling(1000, 0.9), rng()).above
    theirs = stats.binomtest(13, 20).proportion_ci(0.9, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((13 / 20, theirs.low, theirs.high))
    whole = paired_contrast(np.arange(1.0, 31), np.zeros(30), PLAN, rng()).above
    assert whole.low == pytest.approx(stats.binomtest(30, 30).proportion_ci(0.95, method="wilson").low)
    assert [whole.value, whole.high] == pytest.approx([1, 1])
    tied = paired_contrast(np.array([0.2, 0.0, 0.0, -0.2]), np.zeros(4), PLAN, rng()).above
    assert [tied.value, (tied.low or 0) + (tied.high or 0)] == pytest.approx([0.5, 1])


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


def test_a_sum_of_means_covers_what_is_true_and_is_welchs_of_two() -> None:
    """A difference of differences: six differences of the same units less ten, and less fifteen plus eight others."""
    rng = np.random.default_rng(8)
    covered, repetitions = 0, 2000
    for _ in range(repetitions):
        parts = [
            (1.0, rng.normal(0.3, 0.1, 6)), (-1.0, rng.normal(0.1, 0.3, 10)),
            (-1.0, rng.normal(0.2, 0.2, 15)), (1.0, rng.normal(0.1, 0.05, 8)),
        ]  # fmt: skip
        found = weighted_sum(parts, 0.95).difference
        assert found.low is not None
        assert found.high is not None
        covered += found.low < 0.1 < found.high
    assert 0.94 <= covered / repetitions <= 0.965
    two = weighted_sum(parts[:2], 0.9)
    theirs = stats.ttest_ind(parts[0][1], parts[1][1], equal_var=False)
    interval = theirs.confidence_interval(0.9)
    assert (two.difference.low, two.difference.high, two.p) == pytest.approx(
        (interval.low, interval.high, theirs.pvalue)
    )
    assert two.difference.note == "only 6 units: the interval may be too narrow"
    assert weighted_sum([(1.0, np.ones(1)), (1.0, np.ones(3))], 0.9).difference == Interval(2.0, note=ONE)
    assert weighted_sum([(1.0, np.ones(4)), (-1.0, np.ones(3))], 0.9).difference == Interval(0.0, note=EQUAL)
    assert weighted_sum([(1.0, np.ones(4)), (-1.0, np.ones(0))], 0.9).difference == Interval(None, note=NONE)


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
    alone = mean_interval(first - second, Resampling(40_000, 0.95), rng(9))
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
    assert half.medians.low is not None


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
