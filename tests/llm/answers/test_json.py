from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.llm.answers.json import find_json, read_json_answer
from autointerp.llm.request import Unreadable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"answers": [1, 0]}', {"answers": [1, 0]}),
        ("```json\n[1,\n 0]\n```", [1, 0]),
        ('Sure! Excerpt 2 [see above] fits:\n{"a": "]}[{"}\nAnything else? (no)', {"a": "]}[{"}),
        (' \ufeff{"3": 7, "10": 2.5}</s>', {"3": 7, "10": 2.5}),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_fences_and_prose_around_one_value_are_fine(text: str, value: Any) -> None:
    assert read_json_answer(text) == value
    part = find_json(text)
    assert not isinstance(part, Unreadable)
    assert json.loads(text[part.start : part.end]) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON in the answer"),
        ("yes, no, yes", "no JSON in the answer"),
        ("1", "no JSON in the answer"),
        ("[see above]", "no JSON in the answer"),
        ('{"answers": [1, 0', "malformed JSON in the answer"),
        ('{"answers": [1, 0,]}', "malformed JSON in the answer"),
        ("{'answers': [1, 0]}", "malformed JSON in the answer"),
        ("{answers: [1, 0]}", "malformed JSON in the answer"),
        ('{"answers": "\n"}', "malformed JSON in the answer"),
        ("[1, 0] or rather [0, 1]", "several JSON values in the answer"),
        ('{"a": 1, "a": 1}', "a duplicate key in the answer's JSON"),
        ('{"b": {"a": 1, "\\u0061": 2}}', "a duplicate key in the answer's JSON"),
        ('{"a": NaN}', "NaN or infinity in the answer's JSON"),
        ("[-Infinity]", "NaN or infinity in the answer's JSON"),
        ("[1e999]", "NaN or infinity in the answer's JSON"),
        ("[" * 200_000, "the answer's JSON is nested too deeply"),
        ("[x" * 200_000, "no JSON in the answer"),
        (f"[{'9' * 5000}]", "a number in the answer's JSON is too long"),
    ],
)
def test_what_does_not_say_one_thing_is_unreadable(text: str, reason: str) -> None:
    assert read_json_answer(text) == Unreadable(reason)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(_VALUES, max_size=3) | st.dictionaries(st.text(), _VALUES, max_size=3), st.booleans())
def test_whatever_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    text = f"Here it is:\n```json\n{json.dumps(value, ensure_ascii=ascii_only)}\n```\nDone."
    assert read_json_answer(text) == value


@given(st.text())
def test_no_text_raises(text: str) -> None:
    read_json_answer(text)
