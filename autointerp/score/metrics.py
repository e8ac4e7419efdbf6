"""Correlations of predicted with true activations over pooled tokens.

Pooled: the tokens of all of a unit's contexts form one sample (Bills et al. 2023). A mean of per-context correlations
would throw away how much the contexts differ from each other, which is most of what an explanation predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from autointerp.errors import BadInput, nearest
from autointerp.records import Unscored

SILENT = Unscored("constant truth: the unit is silent on every token")
CONSTANT_TRUTH = Unscored("constant truth: the unit has one activation on every token")
CONSTANT_PREDICTION = Unscored("constant prediction")
NOT_FINITE_TRUTH = Unscored("a true activation is not finite")
NOT_FINITE_PREDICTION = Unscored("a predicted activation is not finite")
NO_TOKENS = Unscored("fewer than two tokens in this slice")

Rows = Float[np.ndarray, "row token"]


@dataclass(frozen=True)
class Metric:
    """A Pearson correlation, after a transformation of each sample."""

    name: str
    chance: float
    """Expected value for a prediction that knows nothing of the unit."""
    transform: Callable[[Rows], Rows]
    """Applied to every row of truth and prediction before they are correlated."""


def _as_they_are(rows: Rows) -> Rows:
    return rows


def _ranks(rows: Rows) -> Rows:
    """Ranks within each row from 1, ties at their mean rank."""
    return np.asarray(rankdata(rows, axis=-1), dtype=np.float64)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("pearson", chance=0.0, transform=_as_they_are),
        Metric("spearman", chance=0.0, transform=_ranks),
    )
}
"""Metrics by name; all are invariant to the scale of the prediction, so none needs calibration."""


def metric_named(name: str) -> Metric:
    """The metric called `name`; BadInput with the nearest valid name when there is none."""
    if name not in METRICS:
        raise BadInput(f"no metric '{name}'", nearest(name, METRICS))
    return METRICS[name]


def correlate(
    metric: str, truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"]
) -> float | Unscored:
    """Correlation in [-1, 1] of one prediction with the truth over pooled tokens, or why there is none."""
    return correlate_many(metric, truth, predicted[None, :])[0]


def correlate_many(
    metric: str, truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, "pairing token"]
) -> list[float | Unscored]:
    """Correlation of each row of `predicted` with the one `truth`, in the order of the rows.

    A constant truth or prediction has no correlation: that pairing is Unscored. Never NaN.
    """
    chosen = metric_named(metric)
    failure = _unusable(truth)
    if failure is not None:
        return [failure] * len(predicted)
    finite = np.isfinite(predicted).all(axis=1)
    varied = finite & (predicted.max(axis=1) > predicted.min(axis=1))
    answers: list[float | Unscored] = [CONSTANT_PREDICTION if ok else NOT_FINITE_PREDICTION for ok in finite]
    rows = np.flatnonzero(varied)
    if rows.size:
        values = _pearson(_standard(chosen, truth[None, :])[0], _standard(chosen, predicted[rows]))
        for row, value in zip(rows, values, strict=True):
            answers[row] = float(value)
    return answers


def _unusable(truth: Float[np.ndarray, " token"]) -> Unscored | None:
    if truth.size < 2:
        return NO_TOKENS
    if not np.isfinite(truth).all():
        return NOT_FINITE_TRUTH
    if truth.max() > truth.min():
        return None
    return SILENT if truth[0] == 0 else CONSTANT_TRUTH


def _standard(metric: Metric, rows: Float[np.ndarray, "row token"]) -> Float[np.ndarray, "row token"]:
    """Transformed rows, centred, at most 1 in magnitude: tiny or huge activations neither underflow nor overflow."""
    values = rows.astype(np.float64)
    values = metric.transform(values / np.abs(values).max(axis=1, keepdims=True))
    values = values - values.mean(axis=1, keepdims=True)
    return np.asarray(values / np.abs(values).max(axis=1, keepdims=True))


def _pearson(truth: Float[np.ndarray, " token"], predicted: Rows) -> Float[np.ndarray, " row"]:
    # Sums along each row, not a matrix product: an answer must not depend on how many rows it is computed with.
    norms = np.sqrt((truth * truth).sum() * (predicted * predicted).sum(axis=1))
    return np.asarray(np.clip((predicted * truth).sum(axis=1) / norms, -1.0, 1.0))
