"""What of a model's account counts: tolerant in form, strict in content, and nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autointerp.llm.request import Response, TokenLogprob, Unreadable
from autointerp.self_explanation.masked_reviews import NOT_LIKELY, read_prediction
from autointerp.self_explanation.own_accounts import (
    NO_CONFIDENCE,
    NO_LABEL,
    NO_LIST,
    NO_WORD,
    Account,
    read_account,
)
from autointerp.self_explanation.review_words import ReviewWords, words_of
from tests.injections import INJECTIONS

REVIEW = ReviewWords("Not bad, not bad at all!")
SAID = {"label": "positive", "confidence": 0.9}


def _read(explanation: Any, **more: Any) -> Account | Unreadable:
    return read_account(Response(json.dumps({"explanation": explanation, **SAID, **more}), 1, 1), REVIEW)


def _account(explanation: Any, **more: Any) -> Account:
    found = _read(explanation, **more)
    assert isinstance(found, Account)
    return found


def test_a_repeated_word_gets_its_numbers_in_order_and_what_is_left_over_is_counted() -> None:
    words = ["not", "BAD", ",", "not", "bad", "at", "all", "!"]
    whole = _account([{"word": w, "importance": n / 10} for n, w in enumerate(words)])
    assert whole.importances == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert (whole.missing, whole.repeated, whole.unknown, whole.out_of_range, whole.malformed) == (0, 0, 0, 0, 0)
    odd = _account([["bad", -0.5], ["bad", 1.5], ["bad", 0.2], ["good", 1], ["all!", 0.25], "x", ["not", "high"]])
    assert odd.importances == (0.0, -0.5, 0.0, 0.0, 1.0, 0.0, 0.25, 0.25)
    assert (odd.missing, odd.repeated, odd.unknown, odd.out_of_range, odd.malformed) == (4, 1, 1, 1, 2)


def test_what_is_no_account_is_unreadable_with_its_reason() -> None:
    entries = [["bad", 1]]
    assert _read(entries, label="mixed") == NO_LABEL
    assert _read(entries, label=None) == NO_LABEL
    assert _read(entries, confidence="high") == NO_CONFIDENCE
    assert _read(entries, confidence=True) == NO_CONFIDENCE
    assert _read("bad") == NO_LIST
    assert _read([["good", 1]]) == NO_WORD
    assert isinstance(read_account(Response("It is positive.", 1, 1), REVIEW), Unreadable)
    percent = _account(entries, confidence=95)
    assert (percent.label.confidence, percent.label.moved) == (1.0, True)
    assert _account(entries, label=" Negative ").label.p_positive == pytest.approx(0.1)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_ENTRY = st.tuples(st.sampled_from(["bad", "Not", "all!", "good", ""]) | st.text(max_size=5), _JSON).map(list) | _JSON


@given(st.lists(_ENTRY, max_size=12), st.sampled_from(["positive", "NEGATIVE", "", "both"]), _JSON)
@example([["bad", 10**400]], "positive", 10**400)
def test_whatever_is_said_no_reader_fails_and_none_invents(entries: list[Any], label: str, confidence: Any) -> None:
    found = _read(entries, label=label, confidence=confidence)
    if isinstance(found, Unreadable):
        return
    given_numbers = [
        float(min(max(e[1], -1), 1))
        for e in (list(x.values()) if isinstance(x, dict) else x for x in entries)
        if isinstance(e, list) and len(e) == 2 and isinstance(e[1], int | float)
    ]
    assert len(found.importances) == len(REVIEW.words)
    assert all(number == 0 or number in given_numbers for number in found.importances)
    assert sum(number != 0 for number in found.importances) <= len(REVIEW.words) - found.missing
    assert 0.5 <= found.label.confidence <= 1


@given(st.text(max_size=200))
def test_any_text_at_all_is_read_or_unreadable(text: str) -> None:
    read_account(Response(text, 1, 1), REVIEW)
    read_prediction(Response(text, 1, 1), True)
    read_prediction(Response(text, 1, 1), False)


@given(st.text(max_size=60) | st.sampled_from(INJECTIONS), st.data())
def test_words_are_taken_out_and_nothing_else_changes(text: str, data: st.DataObject) -> None:
    review = ReviewWords(text)
    n = len(review.words)
    assert review.kept(np.ones(n, dtype=bool)).split() == text.split() or not n
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    left = "".join(review.kept(mask).split())
    assert left == "".join(w for w, kept in zip(review.words, mask, strict=True) if kept)
    assert words_of("It's well-made, isn't it?") == ("It's", "well-made", ",", "isn't", "it", "?")


def test_a_label_is_read_off_log_probabilities_where_there_are_some() -> None:
    def said(text: str, *tokens: TokenLogprob) -> Any:
        return read_prediction(Response(text, 1, 1, logprobs=tokens), True)

    top = (("neg", float(np.log(0.6))), ("positive", float(np.log(0.2))), ("p", float(np.log(0.1))))
    label = said('{"label": "negative"}', TokenLogprob('{"label": "', 0.0), TokenLogprob("neg", top[0][1], top),
                 TokenLogprob('ative"}', 0.0))  # fmt: skip
    assert (label.positive, label.confidence) == (False, pytest.approx(0.6 / 0.9))
    other = TokenLogprob("neg", -1.0, (("x", -0.1),))
    assert (
        said('{"label": "negative"}', TokenLogprob('{"label": "n', 0.0), TokenLogprob('egative"}', 0.0)) == NOT_LIKELY
    )
    assert isinstance(said('{"label": "negative"}', other), Unreadable), "the tokens are of another text"
