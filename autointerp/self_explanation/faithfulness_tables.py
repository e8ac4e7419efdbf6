"""From what came of each review to rows: accounts, measures per review, and their means with intervals and nulls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.metrics.intervals import Resampling, mean_interval
from autointerp.records import Status, Unscored
from autointerp.rows import answer_of, state_of
from autointerp.self_explanation.account_measures import AGREEMENT, BY_DELETION, MEASURES, PLANTED_FOUND, agreement
from autointerp.self_explanation.explained_reviews import ExplainedReview
from autointerp.self_explanation.own_accounts import NEGATIVE, ORDERS, POSITIVE, Account, Label
from autointerp.self_explanation.rival_accounts import RANDOM, Importance
from autointerp.self_explanation_rows import FaithfulnessRow, FaithfulnessSummaryRow, SelfExplanationRow

PREDICT = "predict"
"""The model asked for the label alone."""
ACCURACY, BRIER, SAME_LABEL = "accuracy", "brier", "same_label"
"""Measures of labels: the share that is right, the mean square of what the probability misses, and the share that is
the label of `predict`."""
_SCALES = {
    **{name: traits.scale for name, traits in MEASURES.items()},
    **dict.fromkeys((ACCURACY, BRIER, SAME_LABEL), (0.0, 1.0)),
}
_WIDE = {name: (low - high, high - low) for name, (low, high) in _SCALES.items()}
"""Of differences."""


def account_rows(found: Sequence[ExplainedReview]) -> Iterator[SelfExplanationRow]:
    """A row per review and method, `predict` first."""
    for number, each in enumerate(found):
        yield _account_row(number, each, PREDICT, each.prediction, ())
        for method, importance in each.importances.items():
            said = each.accounts.get(method)
            if isinstance(said, Account):  # as it said it, whatever the label alone is
                yield _account_row(number, each, method, said, said.importances)
            elif said is not None or isinstance(importance, Unscored) or isinstance(each.prediction, Unscored):
                failed = next(part for part in (said, importance, each.prediction) if isinstance(part, Unscored))
                yield _account_row(number, each, method, failed, ())
            else:
                sign = 1 if each.prediction.positive else -1
                yield _account_row(number, each, method, None, tuple((sign * importance).tolist()))


def _account_row(
    number: int,
    each: ExplainedReview,
    method: str,
    said: Account | Label | Unscored | None,
    importances: tuple[float, ...],
) -> SelfExplanationRow:
    status, reason = state_of(said)
    account = said if isinstance(said, Account) else None
    label = account.label if account is not None else said if isinstance(said, Label) else None
    return SelfExplanationRow(
        review=number,
        text=each.review.text,
        kind=each.review.kind,
        truth=POSITIVE if each.review.positive else NEGATIVE,
        decisive=each.review.decisive,
        method=method,
        words=() if method == PREDICT else each.words.words,
        importances=importances,
        label=None if label is None else POSITIVE if label.positive else NEGATIVE,
        confidence=None if label is None else label.confidence,
        missing=None if account is None else account.missing,
        repeated=None if account is None else account.repeated,
        unknown=None if account is None else account.unknown,
        out_of_range=None if label is None else label.moved + (0 if account is None else account.out_of_range),
        malformed=None if account is None else account.malformed,
        status=status,
        reason=reason,
        answer=answer_of(said),
    )


def measure_rows(found: Sequence[ExplainedReview]) -> Iterator[FaithfulnessRow]:
    """A row per review, method and measure; then labels; then pairs of methods."""
    for number, each in enumerate(found):
        decisive = each.review.decisive
        chance = None if decisive is None else len(decisive) / len(each.words.words)
        for method, measured in each.measures.items():
            for measure in [*BY_DELETION, PLANTED_FOUND]:
                if measure in measured and not (measure == PLANTED_FOUND and decisive is None):
                    own = chance if measure == PLANTED_FOUND else None
                    yield _measured(number, method, "", measure, measured[measure], own)
        for method in (PREDICT, *each.accounts):
            yield from _labels(number, each, method)
        for method, other in combinations(each.importances, 2):
            yield _measured(
                number, method, other, AGREEMENT, _agreed(each.importances[method], each.importances[other])
            )


def _measured(
    number: int, method: str, other: str, measure: str, value: float | Unscored, chance: float | None = None
) -> FaithfulnessRow:
    status, reason = state_of(value)
    return FaithfulnessRow(
        number, method, other, measure, None if isinstance(value, Unscored) else value, chance, status, reason
    )


def _labels(number: int, each: ExplainedReview, method: str) -> Iterator[FaithfulnessRow]:
    said = each.prediction if method == PREDICT else each.accounts[method]
    label = said.label if isinstance(said, Account) else said
    right: float | Unscored = label if isinstance(label, Unscored) else float(label.positive == each.review.positive)
    missed: float | Unscored = label if isinstance(label, Unscored) else (label.p_positive - each.review.positive) ** 2
    yield _measured(number, method, "", ACCURACY, right)
    yield _measured(number, method, "", BRIER, missed)
    if method == PREDICT:
        return
    if isinstance(label, Unscored) or isinstance(each.prediction, Unscored):
        failed = label if isinstance(label, Unscored) else each.prediction
        assert isinstance(failed, Unscored)
        yield _measured(number, method, PREDICT, SAME_LABEL, failed)
    else:
        yield _measured(number, method, PREDICT, SAME_LABEL, float(label.positive == each.prediction.positive))


def _agreed(first: Importance | Unscored, second: Importance | Unscored) -> float | Unscored:
    for each in (first, second):
        if isinstance(each, Unscored):
            return each
    assert not isinstance(first, Unscored)
    assert not isinstance(second, Unscored)
    return agreement(first, second)


class _Values:
    """Values by method, other, measure and review."""

    def __init__(self, rows: Sequence[FaithfulnessRow]) -> None:
        self.found: dict[tuple[str, str, str], dict[int, FaithfulnessRow]] = defaultdict(dict)
        for row in rows:
            self.found[row.method, row.other, row.measure][row.review] = row

    def ok(self, method: str, other: str, measure: str) -> dict[int, float]:
        """Review -> value, of those that are scored."""
        rows = self.found.get((method, other, measure), {})
        return {review: row.value for review, row in rows.items() if row.value is not None}


def summary_rows(
    rows: Sequence[FaithfulnessRow], accounts: Sequence[SelfExplanationRow], plan: Resampling, seed: int
) -> list[FaithfulnessSummaryRow]:
    """Every measure of every method, and its differences: of each from `random`, of accounts from all others."""
    values = _Values(rows)
    summed = [
        _mean(values.ok(*key), key, len(of_key), _null(values, key, accounts), plan, seed)
        for key, of_key in values.found.items()
    ]
    methods = list(dict.fromkeys(row.method for row in rows if row.measure in BY_DELETION))
    for measure in (*BY_DELETION, PLANTED_FOUND):
        for method in methods:
            for other in methods if method in ORDERS else [RANDOM]:
                first, second = values.ok(method, "", measure), values.ok(other, "", measure)
                if method == other or not first or not second:
                    continue
                apart = {review: first[review] - second[review] for review in first if review in second}
                total = len(values.found[method, "", measure])
                summed.append(_mean(apart, (method, other, measure), total, (0.0, "no difference"), plan, seed))
    return summed


def _mean(
    values: dict[int, float],
    key: tuple[str, str, str],
    total: int,
    null: tuple[float | None, str],
    plan: Resampling,
    seed: int,
) -> FaithfulnessSummaryRow:
    method, other, measure = key
    difference = bool(other) and measure not in (AGREEMENT, SAME_LABEL)
    scale = (_WIDE if difference else _SCALES)[measure]
    found = mean_interval(np.array(list(values.values())), plan, rng_of(seed, "interval", *key), scale)
    return FaithfulnessSummaryRow(
        method, other, measure, found.value, found.low, found.high, found.note, len(values), total - len(values), *null
    )


def _null(
    values: _Values, key: tuple[str, str, str], accounts: Sequence[SelfExplanationRow]
) -> tuple[float | None, str]:
    """What knowing nothing gets on the reviews on which this is scored, and what that is."""
    method, other, measure = key
    scored = values.ok(*key)
    if not scored:
        return None, ""
    if measure == AGREEMENT:
        return 0.0, "numbers that have nothing to do with each other"
    if measure == PLANTED_FOUND:
        chances = [
            row.chance for review, row in values.found[key].items() if review in scored and row.chance is not None
        ]
        return float(np.mean(chances)), "share of planted words among all"
    if measure in BY_DELETION:
        drawn = values.ok(RANDOM, "", measure)
        shared = [drawn[review] for review in scored if review in drawn]
        return (float(np.mean(shared)), "a random account") if shared else (None, "")
    rows = {row.review: row for row in accounts if row.method == method and row.status == Status.OK}
    share = float(np.mean([rows[review].truth == POSITIVE for review in scored]))
    if measure == ACCURACY:
        return max(share, 1 - share), "the more frequent label for all"
    if measure == BRIER:
        return share * (1 - share), "the share of positive reviews for all"
    alone = {row.review: row.label for row in accounts if row.method == other}
    own = float(np.mean([rows[review].label == POSITIVE for review in scored]))
    others = float(np.mean([alone[review] == POSITIVE for review in scored]))
    return own * others + (1 - own) * (1 - others), "labels that have nothing to do with each other"
