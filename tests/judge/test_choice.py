from __future__ import annotations

import pytest

from autointerp.judge.verdicts import read_choice
from autointerp.llm.request import Unreadable
from tests.judge.test_yes_no import said, sure, torn


@pytest.mark.parametrize(
    "text",
    ['{"intruder": 3}', '{"intruder":"3"}', '```json\n{\n  "intruder": 3\n}\n```', 'Excerpt 3 of 5: {"intruder": 3}.'],
)
def test_an_answer_without_log_probabilities_is_certain(text: str) -> None:
    assert read_choice(said(text), 5) == (0.0, 0.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3", "no JSON in the answer"),
        ("[3]", "the answer's JSON does not name one intruder"),
        ('{"intruder": [3]}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3.0}', "the answer's JSON does not name one intruder"),
        ('{"intruder": true}', "the answer's JSON does not name one intruder"),
        ('{"intruder": null}', "the answer's JSON does not name one intruder"),
        ('{"intruder": "three"}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3, "why": "it rains"}', "the answer's JSON does not name one intruder"),
        ('{"intruder": 3} {"intruder": 4}', "several JSON values in the answer"),
        ('{"intruder": 0}', "an intruder that was not shown"),
        ('{"intruder": 6}', "an intruder that was not shown"),
        ('{"intruder": -3}', "an intruder that was not shown"),
    ],
)
def test_anything_else_is_asked_again(text: str, reason: str) -> None:
    assert read_choice(said(text), 5) == Unreadable(reason)


def test_with_log_probabilities_each_number_has_its_share() -> None:
    number = torn(" 3", _3=0.5, x3=0.1, x1=0.2, _5=0.1, seven=0.05, x9=0.05)
    tokens = [sure("Of 5: "), sure('{"'), sure("intruder"), sure('":'), number, sure("}")]
    found = read_choice(said('Of 5: {"intruder": 3}', *tokens), 5)
    assert found == pytest.approx((0.2 / 0.9, 0.0, 0.6 / 0.9, 0.0, 0.1 / 0.9), abs=1e-12)


def test_log_probabilities_that_say_nothing_of_the_numbers_are_no_answer() -> None:
    tokens = [sure('{"intruder": '), torn("4", x4=0.5, x5=0.5), sure("}")]
    assert read_choice(said('{"intruder": 4}', *tokens), 3) == Unreadable("an intruder that was not shown")
    other = [sure('{"intruder": '), sure("x"), sure("}")]
    assert read_choice(said('{"intruder": 4}', *other), 5) == Unreadable(
        "the log-probabilities are of another text than the answer"
    )
    merged = [sure('{"intruder": 4}')]
    assert read_choice(said('{"intruder": 4}', *merged), 5) == Unreadable(
        "no shown number among the top log-probabilities"
    )
