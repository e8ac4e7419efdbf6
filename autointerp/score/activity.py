"""How well predicted activations tell the tokens on which a unit is active from those on which it is silent.

Blind to how strongly a unit is active, which a correlation is not; the only score for units that are on or off.
"""

from __future__ import annotations

import numpy as np

from autointerp.score.correlation import Rows, Truth, Values, ranks


def auroc(truth: Truth, predicted: Rows) -> Values:
    """Probability that an active token is predicted higher than a silent one, ties half: Mann and Whitney's U / nm."""
    active = truth > 0
    n, m = int(active.sum()), int((~active).sum())
    return np.asarray((ranks(predicted)[:, active].sum(axis=1) - n * (n + 1) / 2) / (n * m))


def average_precision(truth: Truth, predicted: Rows) -> Values:
    """Mean precision at the thresholds that let active tokens in, each weighted by the recall that it adds.

    No interpolation; tokens that are predicted alike come in together.
    """
    active = truth > 0
    return np.array([_average_precision(active, row) for row in predicted.astype(np.float64)])


def _average_precision(active: np.ndarray, predicted: np.ndarray) -> float:
    order = np.argsort(-predicted, kind="stable")
    hits = np.cumsum(active[order])
    last = np.flatnonzero(np.append(np.diff(predicted[order]) != 0, True))  # of each run of equal predictions
    precision, gained = hits[last] / (last + 1), np.diff(hits[last], prepend=0)
    return float((precision * gained).sum() / hits[-1])
