"""The line from a simulator's scale to a unit's own, fitted on contexts that nothing is scored on.

A line that is fitted on what it is then scored on, with a slope of either sign, makes a score out of its magnitude: a
prediction that is perfectly wrong comes out as perfectly right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.records import Unscored
from autointerp.score.metrics import metric_named, score_one
from autointerp.score.slices import Held

NO_CONTEXTS = Unscored("no held-out context in this slice")
NO_CALIBRATION = Unscored("no calibration contexts")
NOT_FINITE = Unscored("a prediction on the calibration contexts is not finite")


@dataclass(frozen=True)
class Line:
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
    `calibration`. Unscored with the reason."""
    if held is None or not len(held):
        return NO_CONTEXTS
    predicted = predict(held)
    if isinstance(predicted, Unscored):
        return predicted
    if metric_named(metric).absolute:
        line = _line(calibration, predict)
        if isinstance(line, Unscored):
            return line
        predicted = line(predicted)
    return score_one(metric, held.truth.ravel(), predicted.ravel())


def _line(calibration: Held | None, predict: Predict) -> Line | Unscored:
    if calibration is None or not len(calibration):
        return NO_CALIBRATION
    predicted = predict(calibration)
    return predicted if isinstance(predicted, Unscored) else fit(calibration.truth.ravel(), predicted.ravel())


def fit(truth: Float[np.ndarray, " token"], predicted: Float[np.ndarray, " token"]) -> Line | Unscored:
    """The line with the least squares among those that do not fall; level, with slope 0, where a falling one is best.

    Unscored without a token, or where a prediction is not a finite number.
    """
    if not truth.size:
        return NO_CALIBRATION
    if not np.isfinite(predicted).all():
        return NOT_FINITE
    a, s = truth.astype(np.float64), predicted.astype(np.float64)
    largest = float(np.abs(s).max()) or 1.0
    s = s / largest
    spread = float(np.square(s - s.mean()).sum())
    slope = max(float(((s - s.mean()) * (a - a.mean())).sum()) / spread, 0.0) if spread > 0 else 0.0
    return Line(slope / largest, float(a.mean() - slope * s.mean()))
