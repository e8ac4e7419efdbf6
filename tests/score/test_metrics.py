import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from autointerp.errors import BadInput
from autointerp.records import Unscored
from autointerp.score.metrics import (
    CONSTANT_PREDICTION,
    CONSTANT_TRUTH,
    NO_TOKENS,
    NOT_FINITE_PREDICTION,
    NOT_FINITE_TRUTH,
    SILENT,
    correlate,
    correlate_many,
)


def slow_pearson(x: np.ndarray, y: np.ndarray) -> float:
    """By the definition, with loops."""
    a, b = [float(v) for v in x], [float(v) for v in y]
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((p - mean_a) * (q - mean_b) for p, q in zip(a, b, strict=True))
    return top / (sum((p - mean_a) ** 2 for p in a) * sum((q - mean_b) ** 2 for q in b)) ** 0.5


def slow_ranks(x: np.ndarray) -> np.ndarray:
    return np.array([sum(w < v for w in x) + (sum(w == v for w in x) + 1) / 2 for v in x])


def sparse(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Mostly zeros, like activations: many ties."""
    return np.maximum(rng.normal(-1, 1, size=shape), 0).astype(np.float32)


def test_both_metrics_equal_their_slow_twins_and_scipy() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = sparse(rng, 200), sparse(rng, 9, 200)
    pearson, spearman = correlate_many("pearson", truth, predicted), correlate_many("spearman", truth, predicted)
    for row, p, s in zip(predicted, pearson, spearman, strict=True):
        assert p == pytest.approx(slow_pearson(truth, row), abs=1e-12)
        assert p == pytest.approx(stats.pearsonr(truth.astype(float), row.astype(float)).statistic, abs=1e-12)
        assert s == pytest.approx(slow_pearson(slow_ranks(truth), slow_ranks(row)), abs=1e-12)
        assert s == pytest.approx(stats.spearmanr(truth, row).statistic, abs=1e-12)


def test_one_prediction_gives_the_same_as_many() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = sparse(rng, 50), sparse(rng, 4, 50)
    for metric in ("pearson", "spearman"):
        assert correlate_many(metric, truth, predicted) == [correlate(metric, truth, row) for row in predicted]


def test_failures_are_values_and_leave_the_other_rows_alone() -> None:
    truth = np.array([0.0, 1.0, 0.0, 3.0])
    rows = np.array([[1.0, 1, 1, 1], [0, 1, 0, 3], [0, np.nan, 0, 1], [0, np.inf, 0, 1], [3, 2, 3, 0]])
    found = correlate_many("pearson", truth, rows)
    assert found[0] == CONSTANT_PREDICTION
    assert found[1] == pytest.approx(1)
    assert found[2] == found[3] == NOT_FINITE_PREDICTION
    assert found[4] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("truth", "reason"),
    [([0.0, 0, 0], SILENT), ([2.0, 2, 2], CONSTANT_TRUTH), ([0.0, np.nan, 1], NOT_FINITE_TRUTH), ([1.0], NO_TOKENS)],
)
def test_a_truth_without_a_correlation_is_unscored(truth: list[float], reason: Unscored) -> None:
    assert correlate("spearman", np.array(truth), np.arange(len(truth), dtype=float)) == reason


def test_the_scale_of_a_prediction_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    truth, predicted = sparse(rng, 80), sparse(rng, 80).astype(float)
    plain = correlate("pearson", truth, predicted)
    for scale in (1e-200, 1e-300, 1e200, 5.0):
        assert correlate("pearson", truth, predicted * scale) == pytest.approx(plain, abs=1e-9)


def test_a_perfectly_wrong_prediction_scores_minus_one() -> None:
    truth = np.arange(10.0)
    assert correlate("pearson", truth, -truth) == pytest.approx(-1)
    assert correlate("spearman", truth, np.exp(-truth)) == pytest.approx(-1)


@given(
    arrays(np.float32, st.tuples(st.just(3), st.integers(2, 12)), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from(["pearson", "spearman"]),
)
def test_an_answer_is_in_range_or_has_a_reason(rows: np.ndarray, metric: str) -> None:
    for answer in correlate_many(metric, rows[0], rows[1:]):
        assert isinstance(answer, Unscored) or -1 <= answer <= 1


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'pearson'"):
        correlate("pearsn", np.arange(3.0), np.arange(3.0))
