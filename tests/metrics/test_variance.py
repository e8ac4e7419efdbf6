"""Simulation of known effects, examples worked by hand, and the ends of the scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from autointerp.metrics.intervals import EQUAL
from autointerp.metrics.variance import (
    NEGATIVE,
    ONE_REPLICATE,
    anova,
    between,
    consistency,
    covered,
    crossed_components,
    crossed_spread,
    nested_spread,
    nested_units,
    over_replicates,
    rank_agreement,
    retest,
    top_agreement,
    with_units,
)

TRUE, UNITS, TIMES = 0.2, 64, 2000
SPREADS = (0.0, 0.02, 0.04, 0.06)
FEATURES, NEURONS = 0.18, 0.185
"""Standard deviations of units' scores, as in the reference run; the neurons' are skewed."""

Samples = np.ndarray
"""Scores: time, replicate, unit."""


def _scores(rng: np.random.Generator, replicates: int, spread: float) -> tuple[Samples, Samples]:
    """Features and neurons of many experiments, each with `replicates` draws whose difference varies by `spread`."""
    shape = (TIMES, replicates, UNITS)
    effect = rng.normal(0, spread, size=(TIMES, replicates, 1))
    features = 0.45 + TRUE / 2 + effect / 2 + rng.normal(0, FEATURES, size=shape)
    skewed = (rng.gamma(2.0, 1.0, size=shape) - 2) / np.sqrt(2)
    return features, 0.45 - TRUE / 2 - effect / 2 + NEURONS * skewed


def _by_replicates(features: Samples, neurons: Samples) -> np.ndarray:
    differences = features.mean(axis=-1) - neurons.mean(axis=-1)
    found = [over_replicates(one, 0.95)[0] for one in differences]
    return np.array([(one.low, one.high) for one in found], dtype=np.float64)


def _by_pooled_units(features: Samples, neurons: Samples) -> np.ndarray:
    arms = (features.reshape(TIMES, -1), neurons.reshape(TIMES, -1))
    found = stats.ttest_ind(*arms, axis=1, equal_var=False).confidence_interval(0.95)
    return np.stack([found.low, found.high], axis=1)


def _by_cluster_bootstrap(features: Samples, neurons: Samples) -> np.ndarray:
    differences = features.mean(axis=-1) - neurons.mean(axis=-1)
    drawn = np.random.default_rng(5).integers(0, differences.shape[1], size=(400, differences.shape[1]))
    ends: np.ndarray = np.quantile(differences[:, drawn].mean(axis=-1), [0.025, 0.975], axis=1).T
    return ends


Method = Callable[[Samples, Samples], np.ndarray]


def _coverage(method: Method, replicates: int, spread: float) -> float:
    rng = np.random.default_rng([replicates, round(100 * spread)])
    ends = method(*_scores(rng, replicates, spread))
    return float(((ends[:, 0] <= TRUE) & (ends[:, 1] >= TRUE)).mean())


def _holds(coverage: float) -> bool:
    return 0.93 <= coverage <= 0.97


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_the_interval_over_replicates_covers_whatever_they_vary_by(replicates: int, spread: float) -> None:
    assert _holds(_coverage(_by_replicates, replicates, spread))


@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_units_of_all_replicates_together_cover_only_where_replicates_do_not_vary(replicates: int) -> None:
    found = [_coverage(_by_pooled_units, replicates, spread) for spread in SPREADS]
    assert [_holds(one) for one in found] == [True, False, False, False], found


@pytest.mark.parametrize("replicates", [3, 5, 10])
def test_a_bootstrap_of_replicates_covers_too_rarely(replicates: int) -> None:
    found = [_coverage(_by_cluster_bootstrap, replicates, spread) for spread in SPREADS]
    assert max(found) < 0.93, found


@pytest.mark.parametrize("spread", [0.0, 0.06])
def test_with_units_that_stay_the_same_their_spread_must_be_added(spread: float) -> None:
    """An explainer drawn five times for the same units: the difference is one of all units, not of these alone."""
    rng = np.random.default_rng([7, round(100 * spread)])
    replicates, times, hits, without = 5, 1000, 0, 0
    for _ in range(times):
        arms = []
        for mean, sign in ((0.55, 1), (0.35, -1)):
            unit = rng.normal(mean, 0.17, size=(UNITS, 1))
            draw = sign * rng.normal(0, spread / np.sqrt(2), size=(1, replicates))
            arms.append(unit + draw + rng.normal(0, 0.08, size=(UNITS, replicates)))
        differences = arms[0].mean(axis=0) - arms[1].mean(axis=0)
        held = [one for arm in arms if (one := crossed_spread(arm)) is not None]
        for place, spreads in enumerate((held, [])):
            found, _ = with_units(differences, spreads, 0.95)
            assert found.low is not None
            assert found.high is not None
            inside = found.low <= TRUE <= found.high
            hits, without = (hits + inside, without) if place == 0 else (hits, without + inside)
    assert _holds(hits / times), hits / times
    assert without / times < 0.93, without / times


def test_variances_are_found_again_and_their_intervals_cover() -> None:
    rng = np.random.default_rng(11)
    nested, inside = [], 0
    for _ in range(600):
        arm = [0.5 + rng.normal(0, 0.05) + rng.normal(0, 0.2, size=40) for _ in range(8)]
        spread = nested_spread(arm)
        assert spread is not None
        found = between(np.array([a.mean() for a in arm]), spread.within, 0.95)
        assert found.variance is not None
        assert found.low is not None
        assert found.high is not None
        nested.append(found.variance)
        inside += found.low <= 0.05**2 <= found.high
    assert np.sqrt(np.mean(nested)) == pytest.approx(0.05, rel=0.05)
    assert _holds(inside / 600)
    drawn = np.array([
        rng.normal(0, 0.15, (40, 1)) + rng.normal(0, 0.05, (1, 6)) + rng.normal(0, 0.1, (40, 6)) for _ in range(600)
    ])  # fmt: skip
    parts = [crossed_components(one, 0.95) for values in drawn if (one := anova(values)) is not None]
    for name, true in (("unit", 0.15), ("replicate", 0.05), ("residual", 0.1)):
        each = [part[name] for part in parts]
        assert np.sqrt(np.mean([one.variance for one in each])) == pytest.approx(true, rel=0.06), name
        hit = np.mean([(one.low or 0) <= true**2 <= (one.high or 0) for one in each])
        assert 0.91 <= hit <= 0.97, (name, hit)


def test_the_agreement_of_shrout_and_fleiss_four_judges_is_theirs() -> None:
    """Table 2 of the paper, six targets and four judges; mean squares and ICC(2,1) as printed there."""
    ratings = np.array([
        [9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7],
    ], dtype=np.float64)  # fmt: skip
    found = anova(ratings)
    assert found is not None
    assert (found.of_units, found.of_replicates, found.residual) == pytest.approx((11.24, 32.49, 1.02), abs=0.005)
    agreement = retest(found, 0.95)
    assert agreement.value == pytest.approx(0.29, abs=0.005)
    assert (agreement.low, agreement.high) == pytest.approx((0.019, 0.761), abs=0.001)  # R's psych::ICC prints these
    alike = consistency(found, 0.95)
    assert alike.value == pytest.approx(0.71, abs=0.005)  # as printed there, ICC(3,1)
    assert (alike.low, alike.high) == pytest.approx((0.342, 0.946), abs=0.001)  # as in psych::ICC


def test_mean_squares_of_three_units_in_two_replicates_by_hand() -> None:
    """Unit means 1.5, 2.5, 5; replicate means 2.5, 3.5; grand mean 3; sums of squares 13, 1.5 and 4."""
    values = np.array([[1.0, 2.0], [3.0, 2.0], [3.5, 6.5]])
    found = anova(values)
    assert found is not None
    assert (found.of_units, found.of_replicates, found.residual) == pytest.approx((6.5, 1.5, 2.0))
    parts = crossed_components(found, 0.95)
    assert [parts[name].variance for name in ("unit", "replicate", "residual")] == pytest.approx([2.25, 0, 2.0])
    assert retest(found, 0.95).value == pytest.approx(4.5 / (6.5 + 2.0 - 2 * 0.5 / 3))
    assert rank_agreement(values) == pytest.approx(stats.spearmanr(values[:, 0], values[:, 1]).statistic)
    spread = crossed_spread(values)
    assert spread is not None
    assert (spread.within, spread.beside) == pytest.approx((2 / 3, 4.5 / 6))


def test_the_best_quarter_of_eight_units_in_three_replicates_by_hand() -> None:
    """The best two are a and b, b and c, a and b: one, two and one of two in common."""
    ranks = [[8, 7, 6, 5, 4, 3, 2, 1], [6, 8, 7, 5, 4, 3, 2, 1], [7, 8, 1, 2, 3, 4, 5, 6]]
    assert top_agreement(np.array(ranks, dtype=np.float64).T) == pytest.approx((1 + 2 + 1) / 6)


def test_three_differences_by_hand() -> None:
    """0.1, 0.2, 0.3: mean 0.2, standard error 0.1 / sqrt 3, t of two degrees 4.303."""
    found, p = over_replicates(np.array([0.1, 0.2, 0.3]), 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2 - 0.24841, 0.2 + 0.24841), abs=1e-5)
    assert p == pytest.approx(0.0742, abs=1e-4)


def test_what_an_interval_of_units_alone_would_cover() -> None:
    """The committed reference's standard error; the simulated 0.90, 0.78 and 0.64 of the design."""
    assert [round(covered(0.032, spread, 0.95), 2) for spread in (0.0, 0.02, 0.04, 0.06)] == [0.95, 0.9, 0.78, 0.64]


def test_where_nothing_can_be_said_it_is_said_why() -> None:
    alone, p = over_replicates(np.array([0.3]), 0.95)
    assert (alone.value, alone.low, alone.note, p) == (0.3, None, ONE_REPLICATE, None)
    equal, p = over_replicates(np.array([0.3, 0.3, 0.3]), 0.95)
    assert (equal.low, equal.note, p) == (None, EQUAL, None)
    assert over_replicates(np.empty(0), 0.95)[0].value is None
    below = between(np.array([0.3, 0.3, 0.3001]), 0.01, 0.95)
    assert (below.variance, below.low, below.note) == (0.0, 0.0, NEGATIVE)
    assert between(np.array([0.3]), 0.0, 0.95).variance is None
    assert nested_spread([np.array([0.3])]) is None
    assert nested_units([np.array([0.3])], 0.95).variance is None
    assert anova(np.zeros((1, 3))) is None
    same = anova(np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert same is not None
    assert retest(same, 0.95).value == consistency(same, 0.95).value == 1.0
    nothing = anova(np.ones((2, 2)))
    assert nothing is not None
    assert consistency(nothing, 0.95).value is None
    assert top_agreement(np.zeros((3, 2))) is top_agreement(np.zeros((8, 1))) is None
    assert rank_agreement(np.array([[1.0, 1.0], [1.0, 2.0]])) is None
