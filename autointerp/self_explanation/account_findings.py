"""What came out, in sentences: first whether the model knows the label at all, then whether its account is right."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.compare.words import number, with_interval
from autointerp.self_explanation.account_folder import AccountResults
from autointerp.self_explanation.account_measures import COMPREHENSIVENESS
from autointerp.self_explanation.faithfulness_tables import ACCURACY, PREDICT
from autointerp.self_explanation.own_accounts import ORDERS
from autointerp.self_explanation.rival_accounts import LIME, OCCLUSION, OTHER_REVIEW, RANDOM
from autointerp.self_explanation_rows import FaithfulnessSummaryRow

_RIVAL_WORDS = {
    RANDOM: "a random account", OTHER_REVIEW: "its own account of another review", OCCLUSION: "occlusion",
    LIME: "LIME",
}  # fmt: skip


def findings(results: AccountResults) -> Iterator[str]:
    """A sentence each."""
    yield from _labels(results)
    for order in ORDERS:
        row = results.row(order, COMPREHENSIVENESS)
        if row is None:
            continue
        if row.value is None:
            yield f"{order}: no account could be read and measured, of {row.unscored} reviews."
            continue
        yield (
            f"{order}: without the words that the account calls important, the label's probability falls by "
            f"{interval_of(row)} (comprehensiveness, {row.n} reviews, {row.unscored} unscored); for a random account "
            f"by {number(row.null)}."
        )
        yield from _against(results, order)


def _labels(results: AccountResults) -> Iterator[str]:
    row = results.row(PREDICT, ACCURACY)
    if row is None or row.value is None:
        yield "The model gave no label that could be read: there is nothing to account for."
        return
    yield (
        f"Label: right for {interval_of(row)} of {row.n} reviews ({row.unscored} unscored); the more frequent label "
        f"for all gets {number(row.null)}."
    )
    if not better_than_chance(row):
        yield (
            "The model is no better than chance at the label itself: whatever its account is like, it explains "
            "no reading of these reviews, and is worth nothing as one."
        )


def better_than_chance(row: FaithfulnessSummaryRow) -> bool:
    """Whether the labels are surely righter than the more frequent label for all; without an interval, all of them."""
    if row.value is None or row.null is None:
        return False
    return row.value > row.null if row.low is None else row.low > row.null


def _against(results: AccountResults, order: str) -> Iterator[str]:
    for rival, words in _RIVAL_WORDS.items():
        row = results.row(order, COMPREHENSIVENESS, rival)
        if row is None or row.value is None:
            continue
        if row.low is None or row.high is None:
            said = "no interval, so nothing is shown"
        elif row.low > 0:
            said = "the account is better"
        else:
            said = "the account is worse" if row.high < 0 else "no difference is shown"
        yield f"{order} against {words}: {interval_of(row)} on the same {row.n} reviews: {said}."


def interval_of(row: FaithfulnessSummaryRow) -> str:
    """Its value with its interval."""
    return with_interval(row.value, row.low, row.high)
