"""Formulas over pooled tokens, each counted once or as often as a weight says: means, correlations, areas, residuals.

Pooled: the tokens of all of a unit's contexts form one sample (Bills et al. 2023). A mean of per-context correlations
would throw away how much the contexts differ from each other. Most of what an explanation predicts lies within contexts
(of an earlier demo's features, by `lift`: 0.44 within, 0.08 between), and pooling keeps both.

A weight says how many tokens of the split a token stands for. Every weighted score is the plain one of the sample in
which each token is written out so many times.

Correlations and areas are blind to the scale of predictions. Residuals are not: predictions that say nothing of the
scale must be calibrated first (see `calibration`).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

Rows = Float[np.ndarray, "row token"]
Values = Float[np.ndarray, " row"]
Truth = Float[np.ndarray, " token"]
Weights = Float[np.ndarray, " token"]
"""All above 0; their scale says nothing."""


def mean(values: Float[np.ndarray, "*row token"], weights: Weights | None) -> Float[np.ndarray, "*row"]:
    """Mean over the tokens, which count alike without weights."""
    if weights is None:
        return np.asarray(values.mean(axis=-1))
    return np.asarray((values * weights).sum(axis=-1) / weights.sum())


def median(values: Truth, weights: Weights | None) -> float:
    """A value with at most half of the weight on either side."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def ranks(rows: Rows, weights: Weights | None) -> Rows:
    """Ranks within each row, ties at their mean rank: from 1, or with weights the weight below plus half of that of
    the ties."""
    if weights is None:
        return np.asarray(rankdata(rows, axis=-1), dtype=np.float64)
    found = np.empty(rows.shape, dtype=np.float64)
    for position, row in enumerate(rows):
        _, group = np.unique(row, return_inverse=True)
        sizes = np.bincount(group, weights=weights)
        found[position] = (np.cumsum(sizes) - sizes / 2)[group]
    return found


def auroc(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """Probability that an active token is predicted higher than a silent one, ties half: Mann and Whitney's U / nm."""
    active = truth > 0
    counted = np.ones(truth.size) if weights is None else weights
    n, m = counted[active].sum(), counted[~active].sum()
    below = (ranks(predicted, counted)[:, active] * counted[active]).sum(axis=1)
    return np.asarray(np.clip((below - n * n / 2) / (n * m), 0.0, 1.0))  # n n / 2: active ones among themselves


def average_precision(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """Mean precision at the thresholds that let active tokens in, each weighted by the recall that it adds.

    No interpolation; tokens that are predicted alike come in together.
    """
    counted = np.ones(truth.size) if weights is None else weights
    return np.array([_average_precision(truth > 0, row, counted) for row in predicted.astype(np.float64)])


def _average_precision(active: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(-predicted, kind="stable")
    hits, let_in = np.cumsum((weights * active)[order]), np.cumsum(weights[order])
    last = np.flatnonzero(np.append(np.diff(predicted[order]) != 0, True))  # of each run of equal predictions
    precision, gained = hits[last] / let_in[last], np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / hits[-1])


def pearson(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """In [-1, 1]; neither the truth nor a prediction may be constant."""
    a, s = _standard(truth[None, :], weights)[0], _standard(predicted, weights)
    # Sums along each row, not a matrix product: an answer must not depend on how many rows it is computed with.
    norms = np.sqrt((a * a).sum() * (s * s).sum(axis=1))
    return np.asarray(np.clip((s * a).sum(axis=1) / norms, -1.0, 1.0))


def spearman(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """Pearson of the ranks, ties at their mean rank."""
    both = ranks(truth[None, :], weights)[0], ranks(predicted, weights)
    return pearson(*both, weights)


def _standard(rows: Rows, weights: Weights | None) -> Rows:
    """Centred, at most 1 in magnitude: tiny or huge activations neither underflow nor overflow.

    With weights, each token is then scaled by the root of its own, so that sums of products are weighted.
    """
    values = rows.astype(np.float64)
    values = values / np.abs(values).max(axis=1, keepdims=True)
    values = values - mean(values, weights)[:, None]
    values = values / np.abs(values).max(axis=1, keepdims=True)
    return values if weights is None else np.asarray(values * np.sqrt(weights / weights.max()))


def r2(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """1 - mean (a - s)^2 / variance of a; 0 for the mean, below for what is worse."""
    a, s = _scaled(truth, predicted)
    return np.asarray(1 - mean(np.square(a - s), weights) / mean(np.square(a - mean(a, weights)), weights))


def r2_uncentred(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """1 - mean (a - s)^2 / mean a^2: what Bills et al. 2023 publish as R squared."""
    a, s = _scaled(truth, predicted)
    return np.asarray(1 - mean(np.square(a - s), weights) / mean(np.square(a), weights))


def absolute_deviation(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """1 - mean |a - s| / mean |a| (Bills et al. 2023)."""
    a, s = _scaled(truth, predicted)
    return np.asarray(1 - mean(np.abs(a - s), weights) / mean(np.abs(a), weights))


def _scaled(truth: Truth, predicted: Rows) -> tuple[Truth, Rows]:
    """Both by the largest truth, so that squares neither underflow nor overflow."""
    largest = float(np.abs(truth.astype(np.float64)).max())
    return truth.astype(np.float64) / largest, predicted.astype(np.float64) / largest
