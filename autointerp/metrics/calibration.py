"""The line from a simulator's scale to a unit's own, fitted on contexts that nothing is scored on.

A line that is fitted on what it is then scored on, with a slope of either sign, makes a score out of its magnitude: a
prediction that is perfectly wrong comes out as perfectly right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.contexts.slices import Held
from autointerp.metrics.formulas import Truth, Weights, mean
from autointerp.metrics.metrics import metric_named, score_one
from autointerp.records import Unscored

NO_CONTEXTS = Unscored("no held-out context in this slice")
NO_CALIBRATION = Unscored("no calibration contexts")
NOT_FINITE = Unscored("a prediction on the calibration contexts is not finite")


@dataclass(frozen=True)
class FittedLine:
    """slope x prediction + level."""

    slope: float
    """At least 0."""
    level: float

    def __call__(self, predicted: Float[np.ndarray, "*place"]) -> Float[np.ndarray, "*place"]:
        """In the unit's own scale."""
        return np.asarray(self.slope * predicted.astype(np.float64) + self.level)


Predict = Callable[[Held], Float[np.ndarray, "context token"] | Unscored]
"""Predictions on contexts, in a simulator's own scale."""


def score_on(metric: str, held: Held | None, calibration: Held | None, predict: Predict) -> float | Unscored:
    """The score on the pooled tokens of `held`; where the metric needs the unit's scale, by the line that fits best on
    `calibration`. A weighted metric weighs both. Unscored with the reason."""
    if held is None or not len(held):
        return NO_CONTEXTS
    chosen = metric_named(metric)
    if chosen.weighted and isinstance(held.weights, Unscored):
        return held.weights
    predicted = predict(held)
    if isinstance(predicted, Unscored):
        return predicted
    if chosen.absolute:
        line = _line(calibration, predict, chosen.weighted)
        if isinstance(line, Unscored):
            return line
        predicted = line(predicted)
    return score_one(metric, held.pooled(held.truth), held.pooled(predicted), held.token_weights)


def _line(calibration: Held | None, predict: Predict, weighted: bool) -> FittedLine | Unscored:
    if calibration is None or not len(calibration):
        return NO_CALIBRATION
    if weighted and isinstance(calibration.weights, Unscored):
        return calibration.weights
    predicted = predict(calibration)
    if isinstance(predicted, Unscored):
        return predicted
    return fit(calibration.truth.ravel(), predicted.ravel(), calibration.token_weights if weighted else None)


def fit(truth: Truth, predicted: Truth, weights: Weights | None = None) -> FittedLine | Unscored:
    """The line with the least (weighted) squares among those that do not fall; level, with slope 0, where a falling one
    is best.

    Unscored without a token, or where a prediction is not a finite number.
    """
    if not truth.size:
        return NO_CALIBRATION
    if not np.isfinite(predicted).all():
        return NOT_FINITE
    a, s = truth.astype(np.float64), predicted.astype(np.float64)
    largest = float(np.abs(s).max()) or 1.0
    s = s / largest
    middle, level = float(mean(s, weights)), float(mean(a, weights))
    counted = 1.0 if weights is None else weights
    spread = float((counted * np.square(s - middle)).sum())
    slope = max(float((counted * ((s - middle) * (a - level))).sum()) / spread, 0.0) if spread > 0 else 0.0
    return FittedLine(slope / largest, level - slope * middle)
