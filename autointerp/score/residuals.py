"""How much of the true activations the predicted ones leave unexplained, in the unit's own scale.

What a prediction says of the scale counts here, so one that has none must be calibrated (see `calibration`).
"""

from __future__ import annotations

import numpy as np

from autointerp.metrics.formulas import Rows, Truth, Values, Weights, mean


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
