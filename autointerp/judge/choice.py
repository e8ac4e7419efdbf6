"""Reading answers of the form {"intruder": 3}: the probability of being the one, for each item."""

from __future__ import annotations

import re
from typing import Any

from autointerp.judge.reading import shares, tokens_at
from autointerp.llm.answers.json import find_json
from autointerp.llm.request import Response, Unreadable

KEY = "intruder"
WRONG_FORM = Unreadable("the answer's JSON does not name one intruder")
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
    if not isinstance(value, dict) or set(value) != {KEY}:
        return WRONG_FORM
    number = value[KEY]
    if isinstance(number, str) and _DIGIT.fullmatch(number):
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else WRONG_FORM
