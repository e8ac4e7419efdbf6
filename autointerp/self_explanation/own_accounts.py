"""A model's own account of a label: how it is asked for, and what of its answer counts.

In the spirit of Huang et al. 2023: a number from -1 to 1 for every word and mark of a review, towards the positive
label, with a label and a confidence; given before the label or after it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from autointerp.llm.answers.json import answer_object, read_json_object
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.prompting import Prompt
from autointerp.quoting import quoted
from autointerp.self_explanation.review_words import ReviewWords, words_of

EXPLAIN_FIRST, PREDICT_FIRST = "explain-then-predict", "predict-then-explain"
ORDERS: Mapping[str, tuple[str, ...]] = {
    EXPLAIN_FIRST: ("explanation", "label", "confidence"),
    PREDICT_FIRST: ("label", "confidence", "explanation"),
}
"""Order of an account -> members of the answer, in the order in which they are written."""
POSITIVE, NEGATIVE = "positive", "negative"
LABEL: Mapping[str, Any] = {"type": "string", "enum": [POSITIVE, NEGATIVE]}
"""JSON schema of a label."""
CONFIDENCE: Mapping[str, Any] = {"type": "number", "minimum": 0.5, "maximum": 1}
"""JSON schema of a confidence."""
_IMPORTANCE: Mapping[str, Any] = {"type": "number", "minimum": -1, "maximum": 1}
_ENTRY: Mapping[str, Any] = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "importance": _IMPORTANCE},
    "required": ["word", "importance"],
    "additionalProperties": False,
}
_TOKENS_PER_WORD, _TOKENS_BESIDE = 24, 96
"""Of an answer: laid out over lines, with three decimals, and inside a code fence."""

NO_LABEL = Unreadable("no label, positive or negative, in the answer's JSON")
NO_CONFIDENCE = Unreadable("no confidence that is a number in the answer's JSON")
NO_LIST = Unreadable("no list of words with importances in the answer's JSON")
NO_WORD = Unreadable("no word of the review in the account")


@dataclass(frozen=True)
class Label:
    """What a model says of a review."""

    positive: bool
    confidence: float
    """In its label, 0.5 to 1: what is out of that range is moved to its nearer end."""
    moved: bool
    """Whether it was."""

    @property
    def p_positive(self) -> float:
        """The confidence as a probability of the positive label, 0 to 1."""
        return self.confidence if self.positive else 1 - self.confidence


@dataclass(frozen=True)
class Account:
    """What a model says of its label, read: a number for each word of the review."""

    label: Label
    importances: tuple[float, ...]
    """Per word, -1 to 1, towards the positive label; 0 for a word that the account leaves out."""
    missing: int
    """Words of the review that the account leaves out."""
    repeated: int
    """Words that it names more often than they stand in the review; these numbers are not used."""
    unknown: int
    """Words that it names and that are not in the review; these numbers are not used."""
    out_of_range: int
    """Numbers beyond -1 and 1, moved to the nearer end."""
    malformed: int
    """Members of its list that are no word with a number; not used."""


def account_question(order: str, review: ReviewWords, prompt: Prompt, model: str, seed: int) -> Question[Account]:
    """Ask for the account of one review, in one of ORDERS."""
    words = len(review.words)
    # Room for a repeated word or two, which are counted, and an end for a model that finds none.
    entries = {"type": "array", "items": _ENTRY, "minItems": 1, "maxItems": words + 2}
    members = {"explanation": entries, "label": LABEL, "confidence": CONFIDENCE}
    request = Request(
        messages=prompt.render(review=quoted(review.text), words=[quoted(word) for word in review.words]),
        model=model,
        max_tokens=_TOKENS_BESIDE + _TOKENS_PER_WORD * (words + 2),
        temperature=0.0,
        seed=seed,
        json_object=True,
        schema=answer_object({name: members[name] for name in ORDERS[order]}),
    )
    return Question(request, partial(read_account, review=review))


def read_account(response: Response, review: ReviewWords) -> Account | Unreadable:
    """Label, confidence and importances of an answer.

    Tolerant in form: entries may be objects or [word, number] pairs, capitals don't count, and what is given as one
    word and is several here (`great!`) gives its number to each. Strict in content: no label, confidence or list, or
    not one word of the review, is Unreadable; all else that is not as it was asked for is counted.
    """
    found = read_json_object(response.text)
    if isinstance(found, Unreadable):
        return found
    label = read_label(found)
    if isinstance(label, Unreadable):
        return label
    entries = found.get("explanation")
    if not isinstance(entries, list):
        return NO_LIST
    return _aligned(label, [_entry(each) for each in entries], review)


def read_label(found: Mapping[str, Any]) -> Label | Unreadable:
    """The members `label` and `confidence` of an answer."""
    said, confidence = found.get("label"), found.get("confidence")
    if not isinstance(said, str) or said.strip().casefold() not in (POSITIVE, NEGATIVE):
        return NO_LABEL
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return NO_CONFIDENCE
    inside = min(max(confidence, 0.5), 1.0)
    return Label(said.strip().casefold() == POSITIVE, float(inside), inside != confidence)


def _entry(value: Any) -> tuple[str, float] | None:
    """A word and its number, as given; None for what is neither an object nor a pair of them."""
    if isinstance(value, dict):
        value = [value.get("word"), value.get("importance")]
    if not isinstance(value, list) or len(value) != 2:
        return None
    word, number = value
    if not isinstance(word, str) or isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return word, min(max(number, -2.0), 2.0)  # an int may be too large for a float; beyond 1 is beyond 1


def _aligned(label: Label, entries: Sequence[tuple[str, float] | None], review: ReviewWords) -> Account | Unreadable:
    """The k-th mention of a word is that of its k-th place."""
    free: dict[str, deque[int]] = defaultdict(deque)
    for place, word in enumerate(review.words):
        free[word.casefold()].append(place)
    known = frozenset(free)
    importances: dict[int, float] = {}
    repeated = unknown = outside = 0
    for entry in entries:
        if entry is None:
            continue
        given, number = entry
        whole = given.strip().casefold()
        for word in [whole] if whole in known else words_of(whole) or [whole]:
            if word not in known:
                unknown += 1
            elif not free[word]:
                repeated += 1
            else:
                importances[free[word].popleft()] = min(max(number, -1.0), 1.0)
                outside += not -1 <= number <= 1
    if not importances:
        return NO_WORD
    places = range(len(review.words))
    return Account(
        label,
        tuple(float(importances.get(place, 0.0)) for place in places),
        missing=len(places) - len(importances),
        repeated=repeated,
        unknown=unknown,
        out_of_range=outside,
        malformed=sum(entry is None for entry in entries),
    )
