"""`sparse-words`: what is asked for a text, and what each token is given of an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.contexts.naming import whole_words
from autointerp.llm.request import Request, Response, Unreadable
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Simulation
from autointerp.simulate.interface import Task
from autointerp.simulate.sparse_words import NOT_THERE, SparseWords, read_words
from tests.injections import INJECTIONS, injected_context
from tests.llm.doubles import EchoAsker
from tests.simulate.contexts import context, spoken

PIECES = ("The", " kil", "ogram", "me", " and", " the", " kilogramme", ";", "\n", " (", "x", ")")
WORDS = whole_words(PIECES)


def _request(explanation: str, *contexts: Context) -> Request:
    simulator = SparseWords(EchoAsker(lambda request: spoken("{}")), load_prompt("sparse-words/v1"), "m", 3)
    (request,) = simulator.requests([Task(explanation, contexts)])
    return request


def _read(text: str) -> list[float] | str:
    row = read_words(Response(text, 1, 1), WORDS)
    return row.reason if isinstance(row, Unreadable) else row.tolist()


def test_every_token_of_a_word_gets_its_value_wherever_it_stands() -> None:
    assert _read('{"kilogramme": 9, "(": 2}') == [0, 9, 9, 9, 0, 0, 9, 0, 0, 2, 0, 0]
    assert _read('{"The": 4}') == [4, *[0] * 11]  # as it is written: not "the"
    assert _read("{}") == [0.0] * 12


def test_a_name_of_several_words_names_each_and_what_is_not_there_is_left_out() -> None:
    for answer in (
        '{"the kilogramme": 5, "The": 3, "the": 7, "absent": 9}',
        '{"The": 3, "the": 7, "the kilogramme": 5}',
    ):
        assert _read(answer) == [3, 5, 5, 5, 0, 7, 5, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kilogramme", "no JSON in the answer"),
        ('["kilogramme"]', "the answer's JSON is not an object"),
        ('{"kilogramme": "high"}', "a value that is not a number"),
        ('{"kilogramme": 10}', "a value that is not between 0 and 9"),
        ('{"dog": 9, "cats": 8}', NOT_THERE.reason),
        ('{"": 9}', NOT_THERE.reason),
        ('{" ": 9}', NOT_THERE.reason),
    ],
)
def test_what_is_no_answer_about_this_text_has_a_reason(text: str, reason: str) -> None:
    assert _read(text) == reason


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=30), st.data())
def test_answers_about_any_text_come_back_as_they_were_meant(pieces: list[str], data: st.DataObject) -> None:
    words = whole_words(pieces)
    values = {word: data.draw(st.integers(1, 9)) for word in dict.fromkeys(words) if word}
    row = read_words(Response(json.dumps(values), 1, 1), words)
    assert isinstance(row, np.ndarray)
    assert row.tolist() == [values.get(word, 0) for word in words]


def test_the_schema_allows_the_words_of_the_text_in_their_order_and_no_value_of_nought() -> None:
    request = _request("units of mass", context(0, *PIECES))
    assert request.schema is not None
    schema = json.loads(request.schema)
    assert list(schema["properties"]) == ["The", "kilogramme", "and", "the", ";", "(", "x", ")"]
    assert schema["required"] == []
    assert schema["additionalProperties"] is False
    assert {(member["minimum"], member["maximum"]) for member in schema["properties"].values()} == {(1, 9)}
    assert request.temperature == 0
    assert request.max_tokens >= len(json.dumps(dict.fromkeys(schema["properties"], 9)))


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_hostile_text_stays_one_line_of_data(text: str) -> None:
    request, plain = _request(text, injected_context(text)), _request("plain", injected_context("plain"))
    assert [role for role, _ in request.messages] == [role for role, _ in plain.messages]
    assert request.messages[:-1] == plain.messages[:-1]
    described, shown = request.messages[-1][1].splitlines()
    assert described.startswith("Description: ")
    assert json.loads(shown.removeprefix("Text: ")) == "".join(injected_context(text).pieces)


def test_one_value_per_token_and_context_reaches_the_run() -> None:
    contexts = (context(0, *PIECES), context(1, "a", " dog", ".", *(" x",) * 9))
    answers = {True: '{"kilogramme": 9}', False: '{"dog": 3}'}
    asker = EchoAsker(lambda request: spoken(answers["ogram" in request.messages[-1][1]]))
    ((_, found),) = SparseWords(asker, load_prompt("sparse-words/v1"), "m", 0).simulate([Task("e", contexts)], Bar())
    assert isinstance(found, Simulation)
    assert found.predicted.tolist() == [[0, 9, 9, 9, 0, 0, 9, 0, 0, 0, 0, 0], [0, 3, *[0] * 10]]
