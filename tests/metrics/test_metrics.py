from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from autointerp.errors import BadInput
from autointerp.metrics.metrics import (
    CONSTANT_PREDICTION,
    CONSTANT_TRUTH,
    METRICS,
    NEVER_SILENT,
    NO_TOKENS,
    NOT_FINITE_PREDICTION,
    NOT_FINITE_TRUTH,
    SILENT,
    any_absolute,
    chance_of,
    score_one,
    score_rows,
)
from autointerp.records import Unscored
from autointerp.study import WEIGHTED


def slow_pearson(x: np.ndarray, y: np.ndarray) -> float:
    """By the definition, with loops."""
    a, b = [float(v) for v in x], [float(v) for v in y]
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    return float(top / (sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b)) ** 0.5)


def slow_ranks(x: np.ndarray) -> np.ndarray:
    return np.array([sum(w < v for w in x) + (sum(w == v for w in x) + 1) / 2 for v in x])


def sparse(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Mostly zeros, like activations: many ties."""
    return np.maximum(rng.normal(-1, 1, size=shape), 0).astype(np.float32)


def slow_auroc(truth: np.ndarray, predicted: np.ndarray) -> float:
    """By counting pairs."""
    pairs = [(float(p), float(q)) for p in predicted[truth > 0] for q in predicted[truth == 0]]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


def slow_average_precision(truth: np.ndarray, predicted: np.ndarray) -> float:
    """By the definition: a step per threshold, from the highest prediction to the lowest."""
    total, recall = 0.0, 0.0
    for threshold in sorted({float(p) for p in predicted}, reverse=True):
        let_in = predicted >= threshold
        precision = float((truth[let_in] > 0).mean())
        reached = float((truth[let_in] > 0).sum() / (truth > 0).sum())
        total, recall = total + precision * (reached - recall), reached
    return total


def slow_r2(truth: np.ndarray, predicted: np.ndarray, about: float) -> float:
    top = sum((float(a) - float(s)) ** 2 for a, s in zip(truth, predicted, strict=True))
    return 1 - top / sum((float(a) - about) ** 2 for a in truth)


def test_scores_of_activity_and_residuals_equal_their_slow_twins() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = sparse(rng, 80), sparse(rng, 5, 80).round(1)
    mean = float(truth.astype(float).mean())
    twins: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "auroc": slow_auroc,
        "average_precision": slow_average_precision,
        "r2": lambda a, s: slow_r2(a, s, mean),
        "r2_uncentred": lambda a, s: slow_r2(a, s, 0.0),
        "absolute_deviation": lambda a, s: 1 - np.abs(a - s).astype(float).sum() / np.abs(a).astype(float).sum(),
    }
    for metric, twin in twins.items():
        found = score_rows(metric, truth, predicted)
        assert found == [pytest.approx(twin(truth, row), abs=1e-6) for row in predicted], metric
    assert {*twins, "pearson", "spearman"} == {name.removeprefix(WEIGHTED) for name in METRICS}


@pytest.mark.parametrize("metric", [name for name in METRICS if name.startswith(WEIGHTED)])
def test_a_weight_is_so_many_tokens(metric: str) -> None:
    """The slow twin writes every token out as often as its weight says."""
    rng = np.random.default_rng(6)
    truth, predicted = sparse(rng, 90), sparse(rng, 4, 90).round(1)
    times = rng.integers(1, 9, size=90)
    weights = times / 2  # the scale of the weights says nothing
    plain = metric.removeprefix(WEIGHTED)
    written_out = score_rows(plain, np.repeat(truth, times), np.repeat(predicted, times, axis=1))
    found = score_rows(metric, truth, predicted, weights)
    assert found == [pytest.approx(value, abs=1e-6) for value in written_out]
    assert chance_of(metric, truth, weights) == pytest.approx(chance_of(plain, np.repeat(truth, times)), abs=1e-6)
    unweighted = score_rows(plain, truth, predicted)
    assert score_rows(metric, truth, predicted) == unweighted
    assert score_rows(metric, truth, predicted, np.full(90, 3.0)) == [pytest.approx(v, abs=1e-9) for v in unweighted]
    assert score_rows(plain, truth, predicted, weights) == unweighted, "a plain score reads no weights"
    assert found != [pytest.approx(value, abs=1e-3) for value in unweighted]
    assert METRICS[metric].absolute == METRICS[plain].absolute


def test_a_weighted_constant_is_no_better_than_chance() -> None:
    rng = np.random.default_rng(7)
    truth = np.maximum(rng.normal(0.5, 1, size=300), 0)
    weights = rng.integers(1, 6, size=300).astype(np.float64)
    levels = np.repeat(np.linspace(0, 3, 1501)[:, None], 300, axis=1)
    for metric in ("weighted_r2", "weighted_r2_uncentred", "weighted_absolute_deviation"):
        best = max(s for s in score_rows(metric, truth, levels, weights) if isinstance(s, float))
        assert chance_of(metric, truth, weights) == pytest.approx(best, abs=1e-4), metric
    noise = [s for s in score_rows("weighted_auroc", truth, rng.random((200, 300)), weights) if isinstance(s, float)]
    assert np.mean(noise) == pytest.approx(chance_of("weighted_auroc", truth, weights), abs=0.01)
    assert chance_of("weighted_auroc", np.zeros(5), np.ones(5)) == 0.5


def test_chance_is_what_knowing_nothing_scores() -> None:
    rng = np.random.default_rng(4)
    truth = np.maximum(rng.normal(-0.5, 1, size=4000), 0)
    noise = rng.random((50, 4000))
    for metric in ("pearson", "spearman", "auroc", "average_precision"):
        scores = [s for s in score_rows(metric, truth, noise) if not isinstance(s, Unscored)]
        assert np.mean(scores) == pytest.approx(chance_of(metric, truth), abs=0.01), metric
    for metric, constant in (("r2", truth.mean()), ("r2_uncentred", truth.mean()), ("absolute_deviation", 0.0)):
        levels = np.linspace(0, 2, 401)
        found = score_rows(metric, truth, np.repeat(levels[:, None], 4000, axis=1))
        scored = [s for s in found if not isinstance(s, Unscored)]
        assert len(scored) == len(found)
        best = max(scored)
        assert chance_of(metric, truth) == pytest.approx(best, abs=1e-4)
        assert score_one(metric, truth, np.full(4000, constant)) == pytest.approx(best, abs=1e-4)
    assert chance_of("auroc", np.zeros(5)) == 0.5  # where there is no score there is still a chance


def test_only_scores_in_the_units_own_scale_depend_on_it() -> None:
    rng = np.random.default_rng(5)
    truth, predicted = sparse(rng, 80), rng.normal(size=80)
    for name, metric in METRICS.items():
        same = score_one(name, truth, predicted) == pytest.approx(score_one(name, truth, 4 * predicted + 1), abs=1e-9)
        assert same == (not metric.absolute), name
    assert any_absolute(["pearson", "r2"])
    assert not any_absolute(["pearson", "auroc"])


def test_a_unit_that_is_never_silent_has_no_score_of_activity() -> None:
    assert score_one("auroc", np.array([1.0, 2.0, 3.0]), np.arange(3.0)) == NEVER_SILENT
    assert score_one("r2", np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])) == 1.0


def test_a_constant_prediction_has_no_correlation_but_the_other_scores() -> None:
    truth, constant = np.array([0.0, 1.0, 0.0, 3.0]), np.ones(4)
    for name, metric in METRICS.items():
        assert (score_one(name, truth, constant) == CONSTANT_PREDICTION) == (not metric.of_constant), name
    assert score_one("auroc", truth, constant) == 0.5
    assert score_one("average_precision", truth, constant) == 0.5  # the share of active tokens


def test_both_metrics_equal_their_slow_twins_and_scipy() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = sparse(rng, 200), sparse(rng, 9, 200)
    pearson, spearman = score_rows("pearson", truth, predicted), score_rows("spearman", truth, predicted)
    for row, p, s in zip(predicted, pearson, spearman, strict=True):
        assert p == pytest.approx(slow_pearson(truth, row), abs=1e-12)
        assert p == pytest.approx(stats.pearsonr(truth.astype(float), row.astype(float)).statistic, abs=1e-12)
        assert s == pytest.approx(slow_pearson(slow_ranks(truth), slow_ranks(row)), abs=1e-12)
        assert s == pytest.approx(stats.spearmanr(truth, row).statistic, abs=1e-12)


def test_one_prediction_gives_the_same_as_many() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = sparse(rng, 50), sparse(rng, 4, 50)
    for metric in METRICS:
        assert score_rows(metric, truth, predicted) == [score_one(metric, truth, row) for row in predicted]


def test_failures_are_values_and_leave_the_other_rows_alone() -> None:
    truth = np.array([0.0, 1.0, 0.0, 3.0])
    rows = np.array([[1.0, 1, 1, 1], [0, 1, 0, 3], [0, np.nan, 0, 1], [0, np.inf, 0, 1], [3, 2, 3, 0]])
    found = score_rows("pearson", truth, rows)
    assert found[0] == CONSTANT_PREDICTION
    assert found[1] == pytest.approx(1)
    assert found[2] == found[3] == NOT_FINITE_PREDICTION
    assert found[4] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("truth", "reason"),
    [([0.0, 0, 0], SILENT), ([2.0, 2, 2], CONSTANT_TRUTH), ([0.0, np.nan, 1], NOT_FINITE_TRUTH), ([1.0], NO_TOKENS)],
)
def test_a_truth_without_a_correlation_is_unscored(truth: list[float], reason: Unscored) -> None:
    assert score_one("spearman", np.array(truth), np.arange(len(truth), dtype=float)) == reason


def test_the_scale_of_a_prediction_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    truth, predicted = sparse(rng, 80), sparse(rng, 80).astype(float)
    plain = score_one("pearson", truth, predicted)
    for scale in (1e-200, 1e-300, 1e200, 5.0):
        assert score_one("pearson", truth, predicted * scale) == pytest.approx(plain, abs=1e-9)


def test_a_perfectly_wrong_prediction_scores_minus_one() -> None:
    truth = np.arange(10.0)
    assert score_one("pearson", truth, -truth) == pytest.approx(-1)
    assert score_one("spearman", truth, np.exp(-truth)) == pytest.approx(-1)


@given(
    arrays(np.float32, st.tuples(st.just(3), st.integers(2, 12)), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from(["pearson", "spearman", "auroc", "average_precision"]),
)
def test_an_answer_is_in_range_and_there_is_none_where_there_can_be_none(rows: np.ndarray, metric: str) -> None:
    correlates = metric in ("pearson", "spearman")
    truth = rows[0] if correlates else np.abs(rows[0])
    for row, answer in zip(rows[1:], score_rows(metric, truth, rows[1:]), strict=True):
        if all(len(set(r.tolist())) > 1 for r in (truth, row)) if correlates else {*(truth > 0)} == {True, False}:
            assert isinstance(answer, float)
            assert (-1 if correlates else 0) <= answer <= 1
        else:
            assert isinstance(answer, Unscored)


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'pearson'"):
        score_one("pearsn", np.arange(3.0), np.arange(3.0))
