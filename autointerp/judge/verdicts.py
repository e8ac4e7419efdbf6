"""Reading judges' answers: P(yes) of each item from {"answers": [1, 0, 0]}, P(being the one) from {"intruder": 3}."""

from __future__ import annotations

import re
from typing import Any

from autointerp.llm.answers.json import WRONG_NUMBER, find_json
from autointerp.llm.answers.logprobs import shares, tokens_at
from autointerp.llm.request import Response, Unreadable

ANSWERS = "answers"
NOT_A_LIST = Unreadable("the answer's JSON is not a list of answers")
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
    tokens = tokens_at(response, places)
    if isinstance(tokens, Unreadable):
        return tokens
    known = [found[0] for token in tokens if (found := shares(token, (_YES, _NO))) is not None]
    return tuple(known) if len(known) == len(tokens) else NO_VALUE


def _answers(value: Any, count: int) -> tuple[float, ...] | Unreadable:
    if isinstance(value, dict) and set(value) == {ANSWERS}:
        value = value[ANSWERS]
    if not isinstance(value, list):
        return NOT_A_LIST
    if not all(isinstance(v, int) and v in (0, 1) for v in value):
        return WRONG_VALUE
    return tuple(float(v) for v in value) if len(value) == count else WRONG_NUMBER


INTRUDER = "intruder"
NO_INTRUDER = Unreadable("the answer's JSON does not name one intruder")
NO_SUCH_ITEM = Unreadable("an intruder that was not shown")
NO_NUMBER = Unreadable("no shown number among the top log-probabilities")
_DIGIT = re.compile(r"[0-9]")


def read_choice(response: Response, count: int) -> tuple[float, ...] | Unreadable:
    """P(intruder) of `count` items (at most 9), in order; the probabilities sum to 1.

    With log-probabilities: the share of each number in what the model gave to the shown numbers at the place of its
    answer. Without: 1.0 for the item that it named, 0.0 for the others.
    """
    part = find_json(response.text)
    if isinstance(part, Unreadable):
        return part
    chosen = _chosen(part.value)
    if isinstance(chosen, Unreadable):
        return chosen
    if not 1 <= chosen <= count:
        return NO_SUCH_ITEM
    if not response.logprobs:
        return tuple(float(number == chosen) for number in range(1, count + 1))
    written = next(place for place in range(part.start, part.end) if response.text[place].isdigit())
    tokens = tokens_at(response, [written])
    if isinstance(tokens, Unreadable):
        return tokens
    found = shares(tokens[0], [frozenset({str(number)}) for number in range(1, count + 1)])
    return NO_NUMBER if found is None else tuple(found)


def _chosen(value: Any) -> int | Unreadable:
    if not isinstance(value, dict) or set(value) != {INTRUDER}:
        return NO_INTRUDER
    number = value[INTRUDER]
    if isinstance(number, str) and _DIGIT.fullmatch(number):
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else NO_INTRUDER
