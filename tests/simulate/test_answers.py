"""How answers are read: what is right, and every way of being wrong that is known."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.llm.answers.logprobs import expected_digit, holders
from autointerp.llm.request import Response, TokenLogprob, Unreadable
from autointerp.records import Unscored
from autointerp.simulate.digits import read_hidden
from autointerp.simulate.digits_output import read_digits
from autointerp.simulate.sparse_json import read_sparse
from tests.simulate.contexts import as_digits, spoken


def _sparse(text: str, count: int = 12) -> list[float] | str:
    row = read_sparse(Response(text, 1, 1), count)
    return row.reason if isinstance(row, Unreadable) else row.tolist()


@pytest.mark.parametrize(
    "text",
    [
        '{"3": 7, "10": 2}',
        '```json\n{"3": 7, "10": 2}\n```',
        'Here it is:\n{"3": 7, "10": 2}\nI hope that helps.',
        '{"10": 2.0, "3": 7, "0": 0}',
    ],
)
def test_active_tokens_by_index(text: str) -> None:
    assert _sparse(text) == [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 2, 0]


def test_an_empty_object_is_silence() -> None:
    assert _sparse("{}", 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON in the answer"),
        ("Nothing is active.", "no JSON in the answer"),
        ('{"3": 7,', "malformed JSON in the answer"),
        ('{"3": 7} {"4": 7}', "several JSON values in the answer"),
        ("[3, 7]", "the answer's JSON is not an object"),
        ('{"3": 7, "3": 8}', "a duplicate key in the answer's JSON"),
        ('{"3": NaN}', "NaN or infinity in the answer's JSON"),
        ('{"3": 1e999}', "NaN or infinity in the answer's JSON"),
        ('{"12": 7}', "an index of no token"),
        ('{"-1": 7}', "an index of no token"),
        ('{"03": 7}', "an index of no token"),
        ('{" dog": 7}', "an index of no token"),
        ('{"\u0663": 7}', "an index of no token"),
        ('{"' + "9" * 5000 + '": 7}', "an index of no token"),
        ('{"3": "7"}', "a value that is not a number"),
        ('{"3": true}', "a value that is not a number"),
        ('{"3": null}', "a value that is not a number"),
        ('{"3": {"4": 7}}', "a value that is not a number"),
        ('{"3": 10}', "a value that is not between 0 and 9"),
        ('{"3": -1}', "a value that is not between 0 and 9"),
    ],
)
def test_what_is_no_list_of_active_tokens(text: str, reason: str) -> None:
    assert _sparse(text) == reason


@given(st.lists(st.integers(0, 9), min_size=1, max_size=80))
def test_sparse_answers_come_back_as_they_were_meant(values: list[int]) -> None:
    text = json.dumps({str(i): v for i, v in enumerate(values) if v})
    assert _sparse(text, len(values)) == values


@given(st.text(max_size=200), st.integers(1, 5))
def test_no_text_breaks_the_readers(text: str, count: int) -> None:
    for row in (read_sparse(Response(text, 1, 1), count), read_digits(spoken(text), count)):
        assert isinstance(row, Unreadable) or row.shape == (count,)
    hidden = tuple(TokenLogprob(c, -1.0, (("7", -1.0),)) for c in text)
    assert isinstance(read_hidden(Response("", 1, 1, prompt_logprobs=hidden), count), Unscored)


@given(st.lists(st.floats(0, 8.99), min_size=1, max_size=70))
def test_digits_read_the_expected_value(values: list[float]) -> None:
    row = read_digits(as_digits(values), len(values))
    assert isinstance(row, np.ndarray)
    np.testing.assert_allclose(row, values, atol=1e-4)


@pytest.mark.parametrize("form", ["{}", "\n{}", "```\n{}\n```", "Sure, here you are:\n{}\n\n", "  {}"])
def test_digits_are_found_where_they_stand(form: str) -> None:
    text = form.format("0=3\n1 = 7 \n2=0")
    place = text.index("7")
    read = read_digits(spoken(text, {place: [("7", log(0.3)), (" 9", log(0.1)), ("x", log(0.6))]}), 3)
    assert isinstance(read, np.ndarray)
    np.testing.assert_allclose(read, [3, 7.5, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wrong number of values"),
        ("0=1\n1=2", "wrong number of values"),
        ("0=1\n1=2\n2=3\n3=4", "wrong number of values"),
        ("0=1\n1=2\n1=2\n2=3", "wrong number of values"),
        ("0=1\n2=2\n1=3", "wrong number of values"),
        ("1 2 3", "wrong number of values"),
        ("0=1\n1=12\n2=3", "a value that is not a digit from 0 to 9"),
        ("0=1\n1=-2\n2=3", "a value that is not a digit from 0 to 9"),
        ("0=1\n1=\n2=3", "a value that is not a digit from 0 to 9"),
        ("0=1\n1=\u0663\n2=3", "a value that is not a digit from 0 to 9"),
    ],
)
def test_lines_that_are_not_one_value_per_token(text: str, reason: str) -> None:
    assert read_digits(spoken(text), 3) == Unreadable(reason)


def test_log_probabilities_of_another_text_are_not_read() -> None:
    answer = spoken("0=1\n1=2\n2=4")
    assert read_digits(Response("0=1\n1=2\n2=3", 1, 1, logprobs=answer.logprobs), 3) == Unreadable(
        "the log-probabilities are of another text than the answer"
    )
    assert read_digits(Response("0=1\n1=2\n2=3", 1, 1), 3) == Unreadable(
        "the log-probabilities are of another text than the answer"
    )


@pytest.mark.parametrize(
    ("text", "inside", "top", "expected"),
    [
        ("7", 0, [("7", 0.5), ("5", 0.5)], 6),
        ("7\n", 0, [("7\n", 0.25), ("5", 0.25), (" 3", 0.5)], 4.5),
        ("=7", 1, [("=7", 0.5), ("=1", 0.5)], 4),
        ("\t7", 1, [("\t7", 0.5), ("7", 0.4), (" 7", 0.1), ("\tx", 0.1), ("\t3\n", 0.5)], 5),
        ("7", 0, [("7", 0.2), ("72", 0.5), ("7a", 0.2), ("٣", 0.1), ("", 0.1), ("²", 0.1)], 7),
        ("7", 0, [("5", 0.2)], (0.5 * 7 + 0.2 * 5) / 0.7),
        ("unknown", 0, [("unknown", 0.9), ("2", 0.05), ("4", 0.05)], 3),
        ("unknown", 0, [("unknown", 0.9), ("known", 0.1)], None),
    ],
)
def test_the_expected_digit_is_over_the_digits_that_can_stand_there(
    text: str, inside: int, top: list[tuple[str, float]], expected: float | None
) -> None:
    token = TokenLogprob(text, log(0.5), tuple((t, log(p)) for t, p in top))
    assert expected_digit(token, inside) == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_very_small_probabilities_are_renormalised_too() -> None:
    token = TokenLogprob("unknown", 0.0, (("3", -5000.0), ("5", -5000.0)))
    assert expected_digit(token, 0) == pytest.approx(4.0)


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.data())
def test_a_character_s_token_is_the_one_that_holds_it(texts: list[str], data: st.DataObject) -> None:
    tokens = [TokenLogprob(text, float(-n)) for n, text in enumerate(texts)]
    owner = [(n, inside) for n, text in enumerate(texts) for inside in range(len(text))]
    places = sorted(data.draw(st.sets(st.integers(0, len(owner) - 1)))) if owner else []
    assert [(-int(token.logprob or 0), inside) for token, inside in holders(tokens, places)] == [
        owner[place] for place in places
    ]


def test_hidden_values_that_are_not_where_they_should_be_are_unscored() -> None:
    def read(*texts: str, count: int = 1) -> object:
        tokens = tuple(TokenLogprob(text, -1.0, (("x", -0.1),)) for text in texts)
        return read_hidden(Response("", 1, 1, prompt_logprobs=tokens), count)

    assert read("a", "\t", "unknown", "\n", count=2) == Unscored(
        "the log-probabilities are of another text than the prompt"
    )
    assert read("a", "\t", "unknown", "\n") == Unscored("no digit among the top log-probabilities")
