"""Scores of judgements: how well the probability of "yes" tells true items from false ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from autointerp.errors import BadInput, nearest
from autointerp.records import Unscored

ONE_KIND = Unscored("the judged items are all of one kind")
NO_TRIALS = Unscored("the judged items are no trials with one true item each")
YES = 0.5
"""Above this probability an answer counts as "yes"."""

Truth = Bool[np.ndarray, " item"]
Probability = Float[np.ndarray, " item"]


@dataclass(frozen=True)
class Classification:
    """A score of judgements, in [0, 1]."""

    name: str
    value: Callable[[Truth, Probability], float | Unscored]
    """Of items of both kinds."""
    chance: Callable[[float], float]
    """What an answer that knows nothing scores at best, where this share of the items is true."""


def _balanced_accuracy(truth: Truth, probability: Probability) -> float:
    """Mean of the shares of true and of false items that are answered right."""
    yes = probability > YES
    return float((yes[truth].mean() + (~yes[~truth]).mean()) / 2)


def _f1(truth: Truth, probability: Probability) -> float:
    """Harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn)."""
    yes = probability > YES
    return float(2 * (yes & truth).sum() / (yes.sum() + truth.sum()))


def _auroc(truth: Truth, probability: Probability) -> float:
    """Probability that a true item gets more than a false one, ties counted half: Mann and Whitney's U / nm."""
    n, m = int(truth.sum()), int((~truth).sum())
    u = rankdata(probability)[truth].sum() - n * (n + 1) / 2
    return float(u / (n * m))


def _share_right(truth: Truth, probability: Probability) -> float:
    """Share of all items that are answered right, whichever kind they are of: the score of SAEBench's autointerp."""
    return float(((probability > YES) == truth).mean())


CLASSIFICATIONS: Mapping[str, Classification] = {
    score.name: score
    for score in (
        Classification("balanced_accuracy", _balanced_accuracy, chance=lambda share: 0.5),
        Classification("auroc", _auroc, chance=lambda share: 0.5),
        Classification("f1", _f1, chance=lambda share: 2 * share / (1 + share)),  # always answering "yes"
    )
}
"""Of yes-or-no judgements, by name, the headline of the judges first."""


def _accuracy(truth: Truth, probability: Probability) -> float | Unscored:
    """Share of trials in which the true item got the most; where several did, the part that falls to it.

    The items come trial by trial, all trials have as many, and one item of each is true.
    """
    trials = int(truth.sum())
    if truth.size % trials or not (truth.reshape(trials, -1).sum(axis=1) == 1).all():
        return NO_TRIALS
    answers = probability.reshape(trials, -1)
    best = answers == answers.max(axis=1, keepdims=True)
    return float((best & truth.reshape(trials, -1)).sum(axis=1).astype(np.float64) @ (1 / best.sum(axis=1)) / trials)


ACCURACY = Classification("accuracy", _accuracy, chance=lambda share: share)
"""Of choices: which one of a trial's items is the true one?"""
SHARE_RIGHT = Classification("share_right", _share_right, chance=lambda share: max(share, 1 - share))
"""Its chance: what always naming the commoner kind gets."""
JUDGED_SCORES: Mapping[str, Classification] = {
    score.name: score for score in (ACCURACY, SHARE_RIGHT, *CLASSIFICATIONS.values())
}
"""All of them by name, in the order in which they are reported."""


def classify(metric: str, truth: Truth, probability: Probability) -> float | Unscored:
    """Score in [0, 1] of the probabilities; Unscored unless there are items of both kinds.

    Raises BadInput for an unknown metric.
    """
    if metric not in JUDGED_SCORES:
        raise BadInput(f"no metric '{metric}' of judgements", nearest(metric, JUDGED_SCORES))
    if truth.all() or not truth.any():
        return ONE_KIND
    return JUDGED_SCORES[metric].value(truth, probability)
