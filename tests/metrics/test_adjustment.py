"""Covariates held equal, on simulated arms whose own effect is known, and against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from autointerp.metrics.adjustment import (
    COLLINEAR,
    NO_SUPPORT,
    TOO_FEW,
    UNRELIABLE,
    MeasuredArm,
    adjusted,
    corrected,
    matched,
)
from autointerp.metrics.intervals import Interval, Resampling

PLAN = Resampling(1000, 0.95)
SLOPE, APART = 0.12, 1.4
"""Of the score on the covariate, per standard deviation; and how far the arms differ in it: as in the reference run."""


def arm(
    rng: np.random.Generator, units: int, place: float, own: float = 0.0, noise: float = 0.0, spread: float = 0.1
) -> MeasuredArm:
    """Skewed scores that rise with a covariate; either half of its measurement has an error of this spread."""
    true = place + rng.normal(size=(units, 1))
    halves = true + noise * rng.normal(size=(2, units, 1))
    scores = 0.4 + own + SLOPE * true[:, 0] + spread * (rng.gamma(4, size=units) - 4) / 2
    return MeasuredArm(scores, halves.mean(axis=0), halves)


def pair(
    rng: np.random.Generator, units: int = 64, own: float = 0.0, noise: float = 0.0, apart: float = APART
) -> tuple[MeasuredArm, MeasuredArm]:
    """Arms of unequal spread."""
    return arm(rng, units, apart, own, noise, 0.07), arm(rng, units, 0.0, 0.0, noise, 0.15)


def covers(found: Interval, true: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= true <= found.high


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.0, 0.1])
def test_the_adjusted_interval_covers_what_the_arm_does_itself_and_the_raw_difference_does_not(own: float) -> None:
    rng = np.random.default_rng(1)
    covered, raw = 0, []
    for _ in range(1500):
        first, second = pair(rng, own=own)
        covered += covers(adjusted(first, second, 0.95), own)
        raw.append(first.scores.mean() - second.scores.mean())
    assert 0.93 <= covered / 1500 <= 0.97
    assert np.mean(raw) > own + 3 * np.std(raw)


@pytest.mark.slow
def test_the_interval_over_matched_pairs_covers_it_too() -> None:
    rng = np.random.default_rng(2)
    covered, shares, after = 0, [], []
    for _ in range(250):
        found = matched(*pair(rng), PLAN, rng)
        covered += covers(found.difference, 0.0)
        shares.append(found.share)
        after.append(found.after[0])
    assert 0.89 <= covered / 250 <= 0.985
    assert 0.3 < np.mean(shares) < 0.7
    assert np.mean(np.abs(after)) < 0.1


@pytest.mark.slow
def test_a_noisy_covariate_leaves_a_part_that_is_corrected_at_its_reliability() -> None:
    rng = np.random.default_rng(3)
    held, without_noise, reliabilities = 0, 0, []
    for _ in range(120):
        arms = pair(rng, units=128, noise=0.7)
        held += covers(adjusted(*arms, 0.95), 0.0)
        interval, (reliability,) = corrected(*arms, Resampling(600, 0.95), rng)
        without_noise += covers(interval, 0.0)
        reliabilities.append(reliability)
    assert held / 120 < 0.8
    assert 0.9 <= without_noise / 120 <= 0.99
    assert np.mean(reliabilities) == pytest.approx(1 / (1 + 0.7**2 / 2), abs=0.02)


def test_the_adjusted_difference_is_statsmodels_own_with_hc3() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.4, 1, (30, 2)), rng.normal(0, 1, (25, 2))
    y = np.concatenate([0.3 + a @ [0.2, 0.1] + rng.normal(0, 0.1, 30), b @ [0.1, 0.3] + rng.normal(0, 0.4, 25)])
    z, in_first = np.concatenate([a, b]), np.repeat([1.0, 0.0], [30, 25])
    z = z - z.mean(axis=0)
    design = np.column_stack([np.ones(55), in_first, z, z * in_first[:, None]])
    theirs = sm.OLS(y, design).fit(cov_type="HC3", use_t=True)
    found = adjusted(MeasuredArm(y[:30], a, np.stack([a, a])), MeasuredArm(y[30:], b, np.stack([b, b])), 0.9)
    assert [found.value, found.low, found.high] == pytest.approx([theirs.params[1], *theirs.conf_int(0.1)[1]])


def test_without_noise_what_is_corrected_is_what_is_adjusted() -> None:
    arms = pair(np.random.default_rng(5))
    interval, reliability = corrected(*arms, PLAN, np.random.default_rng(6))
    assert reliability == (1.0,)
    assert interval.value == pytest.approx(adjusted(*arms, 0.95).value)


def test_matching_makes_as_many_pairs_as_can_be_and_none_beyond_the_caliper() -> None:
    """A chain in which each unit is within the caliper of two, so that a greedy choice would lose the last pair."""
    rng = np.random.default_rng(7)
    b = np.concatenate([np.arange(12.0), [40.0]])[:, None]
    a = np.concatenate([np.arange(12.0) + 0.9, [80.0]])[:, None]
    first, second = (MeasuredArm(rng.normal(size=13), z, np.stack([z, z])) for z in (a, b))
    found = matched(first, second, PLAN, rng)
    assert found.pairs == 12
    assert found.share == pytest.approx(12 / 13)
    assert found.after[0] == pytest.approx(0.9 / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    assert found.difference.value == pytest.approx((first.scores[:12] - second.scores[:12]).mean())


def test_what_cannot_be_held_equal_is_refused() -> None:
    rng = np.random.default_rng(8)
    far = matched(*pair(rng, apart=6.0), PLAN, rng)
    assert (far.difference.value, far.difference.note) == (None, NO_SUPPORT)
    few = pair(rng, units=7)
    assert adjusted(*few, 0.95).note == matched(*few, PLAN, rng).difference.note == TOO_FEW
    assert corrected(*few, PLAN, rng)[0].note == TOO_FEW
    same = tuple(
        MeasuredArm(one.scores, np.repeat(one.covariates, 2, axis=1), np.repeat(one.halves, 2, axis=2))
        for one in pair(rng)
    )
    assert adjusted(same[0], same[1], 0.95).note == COLLINEAR
    assert matched(same[0], same[1], PLAN, rng).difference.note == COLLINEAR
    assert corrected(same[0], same[1], PLAN, rng)[0].note == COLLINEAR
    constant = tuple(MeasuredArm(one.scores, np.ones((64, 1)), np.ones((2, 64, 1))) for one in pair(rng))
    assert matched(constant[0], constant[1], PLAN, rng).difference.note == COLLINEAR
    assert adjusted(constant[0], constant[1], 0.95).note == COLLINEAR
    noisy, reliability = corrected(*pair(rng, noise=3.0), PLAN, rng)
    assert (noisy.value, noisy.note) == (None, UNRELIABLE)
    assert reliability[0] < 0.5
