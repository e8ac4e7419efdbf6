"""Shares of loss with their intervals: against plain formulas, a slow bootstrap and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.metrics import intervals
from autointerp.metrics.intervals import EQUAL, Interval, Resampling
from autointerp.metrics.loss_recovered import NOT_A_NUMBER, NOT_WORSE, ONE, TOO_CLOSE, Losses, recovered

PLAN = Resampling(resamples=2000, confidence=0.9)


def losses_of(contexts: int = 60, spliced: float = 0.3, seed: int = 0) -> Losses:
    rng = np.random.default_rng(seed)
    clean = rng.normal(3.0, 0.8, size=contexts)
    return Losses(
        clean=clean,
        spliced=clean + rng.normal(spliced, 0.1, size=contexts),
        zero=clean + rng.normal(2.0, 0.3, size=contexts),
        mean=clean + rng.normal(1.0, 0.3, size=contexts),
    )


def numbers(found: Interval) -> tuple[float, float, float]:
    """Value, low and high, all of which there must be."""
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high


def test_values_are_the_formula_over_means() -> None:
    losses = losses_of()
    found = recovered(losses, PLAN, np.random.default_rng(1))
    clean, spliced, zero, mean = (x.mean() for x in (losses.clean, losses.spliced, losses.zero, losses.mean))
    assert found.clean.value == pytest.approx(clean)
    assert found.mean.value == pytest.approx(mean)
    assert found.against_zero.value == pytest.approx((zero - spliced) / (zero - clean))
    assert found.against_mean.value == pytest.approx((mean - spliced) / (mean - clean))
    by_zero, by_mean = numbers(found.against_zero)[0], numbers(found.against_mean)[0]
    assert 0.8 < by_zero < 0.9
    assert by_mean < by_zero


def test_intervals_equal_a_bootstrap_one_context_at_a_time() -> None:
    losses = losses_of()
    found = recovered(losses, PLAN, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    shares, cleans = [], []
    for _ in range(2000):
        chosen = rng.integers(0, 60, size=60)
        clean, spliced, zero = (x[chosen].mean() for x in (losses.clean, losses.spliced, losses.zero))
        shares.append((zero - spliced) / (zero - clean))
        cleans.append(clean)
    for interval, draws in ((found.against_zero, shares), (found.clean, cleans)):
        low, high = np.quantile(draws, [0.05, 0.95])
        width = high - low
        assert interval.low == pytest.approx(low, abs=0.1 * width)
        assert interval.high == pytest.approx(high, abs=0.1 * width)
    # Conditions share their contexts, so the share is known far better than the losses that it is made of.
    (_, low, high), (_, clean_low, clean_high) = numbers(found.against_zero), numbers(found.clean)
    assert high - low < 0.1 * (clean_high - clean_low)


def test_the_same_seed_gives_the_same_and_blocks_cover_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = losses_of()
    assert recovered(losses, PLAN, np.random.default_rng(1)) == recovered(losses, PLAN, np.random.default_rng(1))
    whole = recovered(losses, PLAN, np.random.default_rng(1))
    monkeypatch.setattr(intervals, "_BLOCK", 60 * 7)
    assert recovered(losses, PLAN, np.random.default_rng(1)).clean.low == pytest.approx(whole.clean.low)


def test_an_interval_covers_the_true_share_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(200):
        found = recovered(losses_of(contexts=40, seed=seed), Resampling(300, 0.9), rng).against_zero
        _, low, high = numbers(found)
        hits += low <= 1 - 0.3 / 2.0 <= high
    assert 165 <= hits <= 195


def test_an_ablation_that_does_no_harm_gives_a_reason_and_no_number() -> None:
    losses = losses_of()
    harmless = Losses(losses.clean, losses.spliced, losses.clean - 0.1, losses.clean.copy())
    found = recovered(harmless, PLAN, np.random.default_rng(0))
    assert (found.against_zero.value, found.against_zero.note) == (None, NOT_WORSE)
    assert (found.against_mean.value, found.against_mean.note) == (None, NOT_WORSE)
    assert found.zero.value == pytest.approx(losses.clean.mean() - 0.1)


def test_an_ablation_within_chance_gives_a_number_without_interval() -> None:
    losses = losses_of(contexts=12)
    noise = np.linspace(-1, 1.1, 12)
    found = recovered(
        Losses(losses.clean, losses.spliced, losses.clean + noise, losses.mean), PLAN, np.random.default_rng(0)
    )
    assert found.against_zero.value is not None
    assert (found.against_zero.low, found.against_zero.note) == (None, TOO_CLOSE)


def test_no_spread_few_contexts_and_broken_losses_are_said() -> None:
    losses = losses_of()
    perfect = recovered(
        Losses(losses.clean, losses.clean, losses.zero, losses.mean), PLAN, np.random.default_rng(0)
    ).against_zero
    assert (perfect.value, perfect.low, perfect.note) == (1.0, None, EQUAL)
    one = recovered(losses_of(contexts=1), PLAN, np.random.default_rng(0))
    assert one.against_zero.value is not None
    assert (one.against_zero.low, one.clean.note) == (None, ONE)
    assert "only 5 contexts" in recovered(losses_of(contexts=5), PLAN, np.random.default_rng(0)).clean.note
    broken = losses.spliced.copy()
    broken[3] = np.nan
    found = recovered(Losses(losses.clean, broken, losses.zero, losses.mean), PLAN, np.random.default_rng(0))
    assert (found.spliced.value, found.spliced.note) == (None, NOT_A_NUMBER)
    assert (found.against_zero.value, found.against_zero.note) == (None, NOT_A_NUMBER)
    assert found.clean.low is not None
