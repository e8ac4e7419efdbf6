"""Shares of a variance over factors that were drawn one at a time: by hand, at the ends, and known ones found again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from autointerp.metrics.shares import TOTAL, UNIT, Redrawn, Square, pooled, shares, summed
from autointerp.metrics.variance import NEGATIVE, Component, anova, nested_spread

UNITS, DRAWS, TIMES = 32, 5, 700
FACTORS: Mapping[str, tuple[bool, float, float]] = {
    "corpus": (False, 0.03, 0.05), "sae": (False, 0.02, 0.05),
    "evidence": (True, 0.015, 0.08), "explain": (True, 0.0, 0.05), "simulate": (True, 0.03, 0.02),
}  # fmt: skip
"""Whether units stay the same, and the standard deviations of the shift of all and of what is done to a unit alone."""
OF_UNIT = 0.17


def _numbers(part: Component) -> tuple[float, float, float]:
    """Lower end, estimate, upper end."""
    assert part.low is not None
    assert part.variance is not None
    assert part.high is not None
    return part.low, part.variance, part.high


def test_shares_of_two_factors_by_hand() -> None:
    """Between units 0.04; contexts shift by 0.0105 - 0.016 / 32 = 0.01 and do 0.016 to a unit alone; another SAE's
    means vary by 0.00725, of which 0.04 / 32 = 0.00125 is by chance. In all 0.056."""
    factors = {
        "evidence": Redrawn(Square(0.0105, 4), Square(0.016, 124), 32, same=True),
        "sae": Redrawn(Square(0.00725, 4), Square(0.04, 155), 32, same=False),
    }
    found = shares(Square(0.04, 186), factors, 0.95)
    assert found["evidence"].variance == pytest.approx(0.026 / 0.056)
    assert found["sae"].variance == pytest.approx(0.006 / 0.056)
    assert found[UNIT].variance == pytest.approx(0.024 / 0.056)
    assert found[TOTAL].variance == pytest.approx(0.056)
    for part in found.values():
        low, value, high = _numbers(part)
        assert 0 <= low < value < high
    assert _numbers(found[UNIT])[2] < 1


def test_a_factor_that_does_nothing_has_no_share_and_no_interval_around_it() -> None:
    nothing = Redrawn(Square(0.0, 4), Square(0.0, 124), 32, same=True)
    found = shares(Square(0.04, 31), {"explain": nothing}, 0.95)
    assert (found["explain"].variance, found["explain"].low, found["explain"].high) == (0.0, 0.0, 0.0)
    assert (found[UNIT].variance, found[UNIT].low, found[UNIT].high) == (1.0, 1.0, 1.0)
    assert shares(Square(0.0, 31), {"explain": nothing}, 0.95) == {}
    chance = Redrawn(Square(0.0001, 4), Square(0.9, 155), 32, same=False)  # so that all else may be nothing, too
    unsure = shares(Square(0.04, 31), {"explain": nothing, "sae": chance}, 0.95)
    assert _numbers(unsure["explain"]) == (0.0, 0.0, 0.0)


def test_an_estimate_lies_within_its_interval_where_factors_do_more_than_units_vary() -> None:
    """What is left of the units is cut to 0, and the estimates of the factors are shares of a larger whole."""
    large = Redrawn(Square(0.001, 4), Square(0.03, 124), 32, same=True)
    small = Redrawn(Square(0.001, 4), Square(0.02, 124), 32, same=True)
    found = shares(Square(0.02, 31), {"simulate": large, "evidence": small}, 0.95)
    assert found[UNIT].variance == 0
    for part in found.values():
        low, value, high = _numbers(part)
        assert low <= value <= high


def test_what_is_taken_off_the_units_makes_their_share_as_unsure_as_it_is_itself() -> None:
    """Units that are as good as known, and 0.01 of 0.04 that by its four degrees of freedom may be 0.083."""
    contexts = Redrawn(Square(0.01 / 32, 10**6), Square(0.01, 4), 32, same=True)
    low, value, high = _numbers(shares(Square(0.04, 10**6), {"evidence": contexts}, 0.95)[UNIT])
    assert low == 0.0
    assert value == pytest.approx(0.75)
    assert 0.85 < high < 1


def test_what_is_below_nothing_is_cut_and_said() -> None:
    """The means of the SAE's draws vary by less than its units give by chance, and contexts by more than there is."""
    factors = {
        "evidence": Redrawn(Square(0.002, 4), Square(0.05, 124), 32, same=True),
        "sae": Redrawn(Square(0.0001, 4), Square(0.04, 155), 32, same=False),
    }
    found = shares(Square(0.04, 31), factors, 0.95)
    assert [found[name].variance for name in (UNIT, "evidence", "sae")] == [0.0, 1.0, 0.0]
    assert [found[name].note for name in (UNIT, "evidence", "sae")] == [NEGATIVE, "", NEGATIVE]


def test_a_sum_of_variances_keeps_what_is_below_nothing_until_the_end() -> None:
    found = summed([(Square(0.010, 4), 0.002), (Square(0.001, 4), 0.003)], 0.95)
    assert found.variance == pytest.approx(0.006)
    below = summed([(Square(0.001, 4), 0.003)], 0.95)
    assert _numbers(below) == pytest.approx((0.0, 0.0, 0.00526), abs=1e-4)  # 0.004 over chi-squared 0.4844, less 0.003
    assert below.note == NEGATIVE
    both = pooled([Square(0.01, 1), Square(0.04, 3)])
    assert both.variance == pytest.approx(0.0325)
    assert both.freedom == 4


def _experiment(rng: np.random.Generator, skewed: bool) -> tuple[Square, dict[str, Redrawn]]:
    """A run and its redraws, one factor at a time, each around the same first draw."""

    def units() -> np.ndarray:
        if skewed:
            gamma: np.ndarray = OF_UNIT * (rng.gamma(2.0, 1.0, UNITS) - 2) / np.sqrt(2)
            return gamma
        normal: np.ndarray = rng.normal(0, OF_UNIT, UNITS)
        return normal

    def alone(without: str = "") -> np.ndarray:
        parts = [rng.normal(0, own, UNITS) for name, (_, _, own) in FACTORS.items() if name != without]
        whole: np.ndarray = np.sum(parts, axis=0)
        return whole

    first = {name: (rng.normal(0, shift), rng.normal(0, own, UNITS)) for name, (_, shift, own) in FACTORS.items()}
    base = units() + np.sum([shift + own for shift, own in first.values()], axis=0)
    factors, squares, within = {}, [], []
    for name, (same, shift, own) in FACTORS.items():
        draws = [base]
        for _ in range(DRAWS - 1):
            if same:
                rest = base - first[name][0] - first[name][1] + rng.normal(0, own, UNITS)
            else:
                rest = units() + alone() + sum(part for other, (part, _) in first.items() if other != name)
            draws.append(rest + rng.normal(0, shift))
        means = Square(float(np.var([one.mean() for one in draws], ddof=1)), DRAWS - 1)
        if same:
            both = anova(np.stack(draws, axis=1))
            assert both is not None
            factors[name] = Redrawn(means, Square(both.residual, both.residual_freedom), UNITS, same=True)
            within.append(float(np.mean([one.var(ddof=1) for one in draws])))
        else:
            spread = nested_spread(draws)
            assert spread is not None
            rest_of = Square(spread.within * UNITS, DRAWS * (UNITS - 1))
            factors[name] = Redrawn(means, rest_of, UNITS, same=False)
            squares += [Square(float(one.var(ddof=1)), UNITS - 1) for one in draws[1:]]
    return pooled([*squares, Square(float(np.mean(within)), UNITS - 1)]), factors


@pytest.mark.parametrize("skewed", [False, True])
def test_known_shares_are_found_again_and_their_intervals_cover(skewed: bool) -> None:
    """Five draws of five factors: 93% or more for each; those of small shares are wide, and cover up to 99%."""
    rng = np.random.default_rng([3, skewed])
    true = {name: shift**2 + own**2 * same for name, (same, shift, own) in FACTORS.items()}
    true[UNIT] = OF_UNIT**2 + sum(own**2 for same, _, own in FACTORS.values() if not same)
    whole = sum(true.values())
    found = [shares(*_experiment(rng, skewed), 0.95) for _ in range(TIMES)]
    for name, variance in true.items():
        each = [one[name] for one in found]
        assert np.mean([one.variance for one in each]) == pytest.approx(variance / whole, abs=0.015), name
        ends = np.array([_numbers(one) for one in each])
        hit = float(((ends[:, 0] <= variance / whole) & (variance / whole <= ends[:, 2])).mean())
        assert 0.915 <= hit <= 0.995, (name, hit)


def test_the_total_of_what_moves_a_mean_is_found_again_and_its_interval_covers() -> None:
    rng, found, true = np.random.default_rng(5), [], 0.03**2 + 0.02**2
    by_chance = 0.2**2 / 32
    for _ in range(2000):
        draws = [np.var(rng.normal(0, np.sqrt(shift**2 + by_chance), DRAWS), ddof=1) for shift in (0.03, 0.02, 0.0)]
        found.append(summed([(Square(float(one), DRAWS - 1), by_chance) for one in draws], 0.95))
    assert np.sqrt(np.mean([one.variance for one in found])) == pytest.approx(np.sqrt(true), rel=0.25)
    hit = float(np.mean([(one.low or 0) <= true <= (one.high or 0) for one in found]))
    assert 0.93 <= hit <= 0.985, hit
