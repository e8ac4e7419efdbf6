"""The scores of predicted activations, by name: what each is of, what chance gives, and when there is none.

Each also has a weighted form, in which a token counts as often as its context stands for contexts of its split: the
score on text as it comes, of which the sample holds too many strong contexts. It is defined for all of them, since each
is made of means over tokens, or over pairs of tokens. Where all contexts of a slice stand for equally many (random ones
alone, one quantile band) the two forms agree. The weight of ordinary text is nearly all on silent tokens: the sparser a
unit, the more a weighted score rests on a few tokens, so it is read beside the plain one, never alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from autointerp.errors import BadInput, nearest
from autointerp.metrics.classification import JUDGED_SCORES
from autointerp.metrics.formulas import (
    Rows,
    Truth,
    Values,
    Weights,
    absolute_deviation,
    auroc,
    average_precision,
    mean,
    median,
    pearson,
    r2,
    r2_uncentred,
    spearman,
)
from autointerp.metrics.intervals import ANY, Scale
from autointerp.records import Unscored
from autointerp.study import WEIGHTED

SILENT = Unscored("constant truth: the unit is silent on every token")
CONSTANT_TRUTH = Unscored("constant truth: the unit has one activation on every token")
NEVER_SILENT = Unscored("the unit is active on every token")
CONSTANT_PREDICTION = Unscored("constant prediction")
NOT_FINITE_TRUTH = Unscored("a true activation is not finite")
NOT_FINITE_PREDICTION = Unscored("a predicted activation is not finite")
NO_TOKENS = Unscored("fewer than two tokens in this slice")


@dataclass(frozen=True)
class Metric:
    """A score of one prediction per row against one truth, over pooled tokens."""

    name: str
    of_rows: Callable[[Truth, Rows, Weights | None], Values]
    """Of a truth that is not constant, and rows that are finite."""
    chance: Callable[[Truth, Weights | None], float]
    """What a prediction that knows nothing of the unit scores; of a truth that is not constant."""
    absolute: bool = False
    """Whether the prediction's scale counts: then it has to be the unit's own, by calibration."""
    of_constant: bool = True
    """Whether a prediction that is the same on every token has a score."""
    of_activity: bool = False
    """Whether the unit has to be both active and silent on some token."""
    weighted: bool = False
    """Whether a token counts by its weight."""


def _nothing(truth: Truth, weights: Weights | None) -> float:
    return 0.0


def _half(truth: Truth, weights: Weights | None) -> float:
    return 0.5


def _active_share(truth: Truth, weights: Weights | None) -> float:
    return float(mean((truth > 0).astype(np.float64), weights))


def _of_mean(truth: Truth, weights: Weights | None) -> float:
    """What the best constant scores by squares: the mean."""
    level = float(mean(truth.astype(np.float64), weights))
    return float(r2_uncentred(truth, np.full((1, truth.size), level), weights)[0])


def _of_median(truth: Truth, weights: Weights | None) -> float:
    """What the best constant scores by magnitudes: the median."""
    level = median(truth.astype(np.float64), weights)
    return float(absolute_deviation(truth, np.full((1, truth.size), level), weights)[0])


_PLAIN = (
    Metric("pearson", pearson, _nothing, of_constant=False),
    Metric("spearman", spearman, _nothing, of_constant=False),
    Metric("auroc", auroc, _half, of_activity=True),
    Metric("average_precision", average_precision, _active_share, of_activity=True),
    Metric("r2", r2, _nothing, absolute=True),
    Metric("r2_uncentred", r2_uncentred, _of_mean, absolute=True),
    Metric("absolute_deviation", absolute_deviation, _of_median, absolute=True),
)
METRICS: Mapping[str, Metric] = {
    metric.name: metric for metric in (*_PLAIN, *(replace(m, name=WEIGHTED + m.name, weighted=True) for m in _PLAIN))
}
"""By name. Those that are not `absolute` are invariant to the scale of the prediction."""


def metric_named(name: str) -> Metric:
    """The metric called `name`; BadInput with the nearest valid name when there is none."""
    if name not in METRICS:
        raise BadInput(f"no metric '{name}'", nearest(name, METRICS))
    return METRICS[name]


def scale_of(name: str) -> Scale:
    """The least and the greatest value of a score, of a judge's too; of what is unknown, anything."""
    plain = name.removeprefix(WEIGHTED)
    if plain in ("pearson", "spearman"):
        return -1.0, 1.0
    if plain in ("auroc", "average_precision") or plain in JUDGED_SCORES:
        return 0.0, 1.0
    return {"r2": (-np.inf, 1.0), "r2_uncentred": (-np.inf, 1.0), "absolute_deviation": (-np.inf, 1.0)}.get(plain, ANY)


def any_absolute(metrics: Iterable[str]) -> bool:
    """Whether one of these needs predictions in the unit's own scale."""
    return any(metric_named(name).absolute for name in metrics)


def chance_of(metric: str, truth: Truth, weights: Weights | None = None) -> float:
    """What knowing nothing scores on this truth; where it has no score at all, 0.5 for AUROC and 0 for the others.

    `weights` as in `score_rows`.
    """
    chosen = metric_named(metric)
    if _unusable(chosen, truth) is not None:
        return 0.5 if chosen.chance is _half else 0.0
    return chosen.chance(truth, weights if chosen.weighted else None)


def score_one(
    metric: str, truth: Truth, predicted: Float[np.ndarray, " token"], weights: Weights | None = None
) -> float | Unscored:
    """The score of one prediction over pooled tokens, or why there is none; `weights` as in `score_rows`."""
    return score_rows(metric, truth, predicted[None, :], weights)[0]


def score_rows(
    metric: str, truth: Truth, predicted: Float[np.ndarray, "pairing token"], weights: Weights | None = None
) -> list[float | Unscored]:
    """The score of each row of `predicted` against the one `truth`, in the order of the rows.

    For an `absolute` metric predictions are in the unit's own scale. `weights` say how many tokens each one stands for
    (none: all equally many); only a `weighted` metric reads them. Never NaN: a truth or a prediction that has no such
    score is Unscored.
    """
    chosen = metric_named(metric)
    failure = _unusable(chosen, truth)
    if failure is not None:
        return [failure] * len(predicted)
    finite = np.isfinite(predicted).all(axis=1)
    usable = finite if chosen.of_constant else finite & (predicted.max(axis=1) > predicted.min(axis=1))
    answers: list[float | Unscored] = [CONSTANT_PREDICTION if ok else NOT_FINITE_PREDICTION for ok in finite]
    rows = np.flatnonzero(usable)
    if rows.size:
        values = chosen.of_rows(truth, predicted[rows], weights if chosen.weighted else None)
        for row, value in zip(rows, values, strict=True):
            answers[row] = float(value)
    return answers


def _unusable(metric: Metric, truth: Truth) -> Unscored | None:
    if truth.size < 2:
        return NO_TOKENS
    if not np.isfinite(truth).all():
        return NOT_FINITE_TRUTH
    if truth.max() > truth.min():
        return NEVER_SILENT if metric.of_activity and truth.min() > 0 else None
    return SILENT if truth[0] == 0 else CONSTANT_TRUTH
