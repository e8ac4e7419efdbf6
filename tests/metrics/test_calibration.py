"""From a simulator's scale to the unit's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from autointerp.contexts.slices import Held
from autointerp.metrics.calibration import NO_CALIBRATION, NO_CONTEXTS, NOT_FINITE, FittedLine, fit, score_on
from autointerp.records import Unscored


def held(truth: np.ndarray, first: int = 0) -> Held:
    contexts = np.arange(first, first + len(truth), dtype=np.int64)
    return Held(contexts, truth.astype(np.float32), np.ones(len(truth)))


def test_the_line_is_that_of_least_squares_that_does_not_fall() -> None:
    rng = np.random.default_rng(0)
    for slope in (2.0, 0.01, -1.0, 0.0):
        predicted = rng.random(200)
        truth = slope * predicted + 0.3 + 0.05 * rng.normal(size=200)
        line = fit(truth, predicted)
        assert isinstance(line, FittedLine)
        # Slow twin: a level of either sign, as the difference of two that have none.
        columns = np.stack([predicted, np.ones(200), -np.ones(200)], axis=1)
        best, _ = nnls(columns, truth)
        assert line.slope == pytest.approx(best[0], abs=1e-6)
        assert line.level == pytest.approx(best[1] - best[2], abs=1e-6)


def test_a_perfectly_wrong_explanation_is_worth_nothing_and_not_everything() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((40, 8))
    wrong = 1 - truth
    value = score_on("r2", held(truth[:20]), held(truth[20:], 20), lambda some: wrong[some.contexts])
    assert not isinstance(value, Unscored)
    assert value == pytest.approx(0, abs=0.05)
    assert value < 0.05
    assert score_on("pearson", held(truth[:20]), None, lambda some: wrong[some.contexts]) == pytest.approx(-1)


def test_the_scale_is_fitted_on_the_calibration_contexts_alone() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((40, 8))
    predicted = np.concatenate([3 * truth[:20] + 1, 7 * truth[20:] - 2])  # other scales, which no simulator has
    value = score_on("r2", held(truth[:20]), held(truth[20:], 20), lambda some: predicted[some.contexts])
    level = (predicted[:20] + 2) / 7
    a = truth[:20]
    assert value == pytest.approx(1 - np.square(a - level).mean() / a.var(), abs=1e-5)


def test_failures_are_values() -> None:
    truth = np.random.default_rng(3).random((4, 5))
    lost = Unscored("the request timed out")
    assert score_on("r2", None, None, lambda some: truth) == NO_CONTEXTS
    assert score_on("r2", held(truth), None, lambda some: truth) == NO_CALIBRATION
    assert score_on("r2", held(truth), held(truth[:0].reshape(0, 5)), lambda some: truth) == NO_CALIBRATION
    assert score_on("pearson", held(truth), None, lambda some: lost) == lost
    assert score_on("r2", held(truth), held(truth, 10), lambda some: lost if some.contexts[0] else truth) == lost
    assert fit(truth.ravel(), np.full(20, np.nan)) == NOT_FINITE
    flat = fit(truth.ravel(), np.ones(20))
    assert isinstance(flat, FittedLine)
    assert flat.slope == 0.0
    assert flat.level == pytest.approx(truth.mean())


def test_a_weighted_score_is_of_weighted_contexts_by_a_weighted_line() -> None:
    """The slow twin holds every context as often as its weight says."""
    rng = np.random.default_rng(4)
    truth, predicted = rng.random((12, 5)), rng.random((12, 5))
    times = rng.integers(1, 5, size=12)
    first, second = (Held(np.arange(a, a + 6), truth[a : a + 6], times[a : a + 6].astype(np.float64)) for a in (0, 6))
    order = [np.repeat(np.arange(a, a + 6), times[a : a + 6]) for a in (0, 6)]
    many, others = (Held(places, truth[places], np.ones(len(places))) for places in order)
    for metric in ("r2", "pearson"):
        found = score_on(f"weighted_{metric}", first, second, lambda held: predicted[held.contexts])
        assert found == pytest.approx(score_on(metric, many, others, lambda held: predicted[held.contexts]), abs=1e-9)
        assert found != pytest.approx(score_on(metric, first, second, lambda held: predicted[held.contexts]), abs=1e-3)


def test_a_sample_that_stands_for_nothing_has_no_weighted_score() -> None:
    truth = np.random.default_rng(5).random((4, 5))
    lost = Unscored("no random context beside the top ones to stand for the rest")
    unweighted = Held(np.arange(4), truth, lost)
    assert score_on("weighted_pearson", unweighted, None, lambda some: truth) == lost
    assert score_on("weighted_r2", held(truth), unweighted, lambda some: truth) == lost
    assert score_on("pearson", unweighted, None, lambda some: truth) == pytest.approx(1.0)
