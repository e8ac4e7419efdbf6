"""Reading answers of the form {"answers": [1, 0, 0]}: the probability of "yes" for each item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import exp
from typing import Any

from autointerp.llm.json_answers import find_json
from autointerp.llm.places import holders
from autointerp.llm.request import Response, TokenLogprob, Unreadable

KEY = "answers"
WRONG_FORM = Unreadable("the answer's JSON is not a list of answers")
WRONG_NUMBER = Unreadable("wrong number of values")
WRONG_VALUE = Unreadable("a value other than 0 and 1")
OTHER_TEXT = Unreadable("the log-probabilities are of another text than the answer")
NO_VALUE = Unreadable("neither 0 nor 1 among the top log-probabilities")
_VALUE = re.compile(r"0|1|true|false")
_AROUND = " \t\r\n[],"
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
    spelled = "".join(token.text for token in response.logprobs)
    shift = spelled.find(response.text)  # servers strip blanks before an answer, and keep the end token behind it
    if shift < 0:
        return OTHER_TEXT
    found: list[float] = []
    for token, _ in holders(response.logprobs, [place + shift for place in places]):
        probability = _probability(token)
        if probability is None:
            return NO_VALUE
        found.append(probability)
    return tuple(found)


def _probability(token: TokenLogprob) -> float | None:
    """Share of "yes" in what the alternatives give to "yes" and "no"; None when they give nothing to either."""
    alternatives = list(token.top)
    if token.logprob is not None and all(text != token.text for text, _ in alternatives):
        alternatives.append((token.text, token.logprob))
    yes, no = (
        sum(exp(min(logprob, 0.0)) for text, logprob in alternatives if text.strip(_AROUND) in spellings)
        for spellings in (_YES, _NO)
    )
    return yes / (yes + no) if yes + no > 0 else None
