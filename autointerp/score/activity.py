"""How well predicted activations tell the tokens on which a unit is active from those on which it is silent.

Blind to how strongly a unit is active, which a correlation is not; the only score for units that are on or off.
"""

from __future__ import annotations

import numpy as np

from autointerp.metrics.formulas import Rows, Truth, Values, Weights, ranks


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
