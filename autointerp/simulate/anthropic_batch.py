"""`anthropic-batch`: many contexts in one call, 540 values at most, after Towards Monosemanticity (Anthropic 2023).

There 60 examples of nine tokens, shuffled, are predicted in one call. Here the contexts of a task are taken whole, in
a random order, and written in lines of nine tokens; where they have more than 540 tokens they are split evenly over
calls. Contexts and their order are the same for every explanation. Any chat endpoint can do it; a value is what the
model writes. One line of the wrong length makes the whole call unreadable: it is asked again, and never filled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import ceil

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.llm.answers.json import (
    SLACK,
    VALUE,
    WRONG_NUMBER,
    answer_object,
    listed,
    read_json_object,
    written_value,
)
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.quoting import quoted
from autointerp.records import Context
from autointerp.simulate.asked import Asking, Group, Row

NAME = "anthropic-batch"
VALUES = 540
"""Values per call at most; a context that has more of its own is asked about alone."""
LINE = 9
"""Tokens per line: the paper's examples are as long. A model loses count in longer lists."""
OTHER_LINES = Unreadable("other lines than those that were asked about")
NOT_A_LIST = Unreadable("a line's values are not a list")


@dataclass(frozen=True)
class _AnswerLine:
    """What the prompt shows as one line."""

    number: int
    tokens: tuple[str, ...]
    """Quoted."""


class AnthropicBatch(Asking):
    """Predicts the values that the model writes, 0 to 9, of as many contexts in one call as it takes."""

    name = NAME

    def groups(self, contexts: Sequence[Context]) -> Sequence[Group]:
        """Calls of nearly equal size, of contexts in an order that is drawn from their ids alone."""
        by_id = sorted(contexts, key=lambda context: context.context)
        rng = rng_of(NAME, *(context.context for context in by_id))
        order = [by_id[int(i)] for i in rng.permutation(len(by_id))]
        per_call = max(1, VALUES // max(len(context.pieces) for context in order))
        calls = np.array_split(np.arange(len(order)), ceil(len(order) / per_call))
        return [tuple(order[int(place)] for place in call) for call in calls]

    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """One chat about the whole group."""
        excerpts = _in_lines(group)
        sizes = [len(line.tokens) for lines in excerpts for line in lines]
        request = Request(
            messages=self._prompt.render(explanation=quoted(explanation), excerpts=excerpts, lines=len(sizes)),
            model=self._model,
            max_tokens=SLACK + sum(len(f'"{number}": [], ') + len("9, ") * n for number, n in enumerate(sizes, 1)),
            temperature=0.0,
            seed=self._seed,
            json_object=True,
            schema=answer_object({str(number): listed(VALUE, size) for number, size in enumerate(sizes, 1)}),
        )
        return [Question(request, partial(read_lines, sizes=sizes))]


def _in_lines(group: Group) -> list[list[_AnswerLine]]:
    """The lines of each context, numbered through the whole group."""
    number = count(1)
    return [
        [
            _AnswerLine(next(number), tuple(quoted(piece) for piece in context.pieces[start : start + LINE]))
            for start in range(0, len(context.pieces), LINE)
        ]
        for context in group
    ]


def read_lines(response: Response, sizes: Sequence[int]) -> Row | Unreadable:
    """The values of lines 1, 2, ... of `sizes` tokens, joined, each from 0 to 9.

    Unreadable for anything but an object from each line's number to a list of as many numbers as the line has tokens.
    """
    answer = read_json_object(response.text)
    if isinstance(answer, Unreadable):
        return answer
    names = [str(number) for number in range(1, len(sizes) + 1)]
    if set(answer) != set(names):
        return OTHER_LINES
    row: list[float] = []
    for name, size in zip(names, sizes, strict=True):
        values = answer[name]
        if not isinstance(values, list):
            return NOT_A_LIST
        if len(values) != size:
            return WRONG_NUMBER
        for value in values:
            number = written_value(value)
            if isinstance(number, Unreadable):
                return number
            row.append(number)
    return np.array(row, dtype=np.float32)
