"""The rows of the tables that hold a model's own accounts of its labels, and what these are worth."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.records import Status


@dataclass(frozen=True)
class SelfExplanationRow:
    """One review as one method accounts for its label: the model itself in either order, or what it is held against."""

    review: int
    """Number of the review in this folder."""
    text: str
    """The review itself."""
    kind: str
    """How the review was made: `plain`, `negated` or `contrast`; `own` out of a user's file."""
    truth: str
    """The label that is true of it: `positive` or `negative`."""
    decisive: tuple[int, ...] | None
    """Places of the words that decide by the rule that made it, from 0; None where nobody knows them."""
    method: str
    """`explain-then-predict`, `predict-then-explain`: the model's account; `predict`: its label alone, which all
    methods are held against; `occlusion`, `lime`, `planted`; `random`, `another-review`, `longest-words`: nulls."""
    words: tuple[str, ...]
    """The review's words and marks; none for `predict`."""
    importances: tuple[float, ...]
    """Of each word, towards the positive label; -1 to 1 in the model's accounts. None where it is not `ok`."""
    label: str | None
    """The model's label in this answer; None for methods that give none."""
    confidence: float | None
    """In that label, 0.5 to 1, as the model says it; for `predict` off log-probabilities where there are some."""
    missing: int | None
    """Words of the review that the account leaves out: they count as 0. None, as below, for what is no account."""
    repeated: int | None
    """Words that it names more often than they stand in the review."""
    unknown: int | None
    """Words that it names and that are not in the review."""
    out_of_range: int | None
    """Importances beyond -1 and 1, and a confidence outside 0.5 to 1: moved to the nearer end."""
    malformed: int | None
    """Members of its list that are no word with a number."""
    status: Status
    reason: str
    answer: str
    """The beginning of an answer that could not be used."""


@dataclass(frozen=True)
class FaithfulnessRow:
    """One measure of one method on one review, or of two methods (`kendall`, `same_label`)."""

    review: int
    """Number of the review, as in `self_explanations`."""
    method: str
    """As in `self_explanations`."""
    other: str
    """The method that it is compared with; '' for a measure of one."""
    measure: str
    """`comprehensiveness`, `sufficiency`, `flip_by_first`, `words_to_flip`, `deletion_rank`, `planted_found`,
    `kendall`; of labels `accuracy`, `brier`, `same_label`."""
    value: float | None
    """None where it is not `ok`."""
    chance: float | None
    """What knowing nothing gets on this review, where that follows from the review alone (`planted_found`)."""
    status: Status
    reason: str


@dataclass(frozen=True)
class FaithfulnessSummaryRow:
    """One measure of one method over all reviews, with its null beside it."""

    method: str
    """As in `self_explanations`."""
    other: str
    """'': the measure itself. Else, of `kendall` and `same_label`, the method that it is compared with; of any other
    measure, the method whose value on the same review is subtracted."""
    measure: str
    """As in `faithfulness`."""
    value: float | None
    """Mean over reviews; None where none is scored."""
    low: float | None
    """Lower bound of its interval over reviews."""
    high: float | None
    """Upper bound."""
    note: str
    """Why there is no interval, or what is wrong with it."""
    n: int
    """Reviews."""
    unscored: int
    """Reviews without a value: no answer, or nothing to measure."""
    null: float | None
    """What knowing nothing gets on the same reviews."""
    null_is: str
    """What that is."""
