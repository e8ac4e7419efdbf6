"""Reading answers of the form {"answers": [1, 0, 0]}: the probability of "yes" for each item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from autointerp.judge.reading import shares, tokens_at
from autointerp.llm.answers.json import find_json
from autointerp.llm.request import Response, Unreadable

KEY = "answers"
WRONG_FORM = Unreadable("the answer's JSON is not a list of answers")
WRONG_NUMBER = Unreadable("wrong number of values")
WRONG_VALUE = Unreadable("a value other than 0 and 1")
NO_VALUE = Unreadable("neither 0 nor 1 among the top log-probabilities")
_VALUE = re.compile(r"0|1|true|false")
_YES, _NO = frozenset({"1", "true"}), frozenset({"0", "false"})


def read_yes_no(response: Response, count: int) -> tuple[float, ...] | Unreadable:
    """P(yes) of `count` items, in order.

    With log-probabilities: the share of "1" in what the model gave to "1" and "0" at the place of each value. Without:
    1.0 or 0.0, as the model answered. Both {"answers": [...]} and the bare list are read, in a code fence or in prose.
    """
    part = find_json(response.text)
    if isinstance(part, Unreadable):
        return part
    answers = _answers(part.value, count)
    if isinstance(answers, Unreadable) or not response.logprobs:
        return answers
    start = response.text.index("[", part.start)
    places = [match.start() for match in _VALUE.finditer(response.text, start, part.end)]
    return _probabilities(response, places)


def _answers(value: Any, count: int) -> tuple[float, ...] | Unreadable:
    if isinstance(value, dict) and set(value) == {KEY}:
        value = value[KEY]
    if not isinstance(value, list):
        return WRONG_FORM
    if not all(isinstance(v, int) and v in (0, 1) for v in value):
        return WRONG_VALUE
    return tuple(float(v) for v in value) if len(value) == count else WRONG_NUMBER


def _probabilities(response: Response, places: Sequence[int]) -> tuple[float, ...] | Unreadable:
    """P(yes) from the token that holds the character at each of `places` (ascending) of the answer."""
    tokens = tokens_at(response, places)
    if isinstance(tokens, Unreadable):
        return tokens
    known = [found[0] for token in tokens if (found := shares(token, (_YES, _NO))) is not None]
    return tuple(known) if len(known) == len(tokens) else NO_VALUE
