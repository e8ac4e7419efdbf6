"""`sparse-json`: the model names the active tokens alone, by index, with a value each. Any chat endpoint can do it.

After the all-at-once simulator of Bills et al. 2023, for models that give no log-probabilities: a value is what the
model writes, and not an expected value. Answers are short, since most tokens are silent.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from autointerp.llm.answers.json import HIGHEST, SLACK, answer_object, between, read_json_object, written_value
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.records import Context
from autointerp.simulate.asked import Asked, Row

NAME = "sparse-json"
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
NO_INDEX = Unreadable("an index of no token")
_ACTIVE = between(1, HIGHEST)
"""A silent token is left out, so none is written as 0: the prompt says so, and the schema holds the model to it."""


class SparseJson(Asked):
    """Predicts the values that the model writes, and 0 for every token that it leaves out."""

    name = NAME

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One chat: the tokens by index; the answer is an object from index to value."""
        count = len(context.pieces)
        request = Request(
            messages=self.by_index(explanation, context),
            model=self._model,
            max_tokens=SLACK + sum(len(f'"{index}": 9, ') for index in range(count)),
            temperature=0.0,
            seed=self._seed,
            json_object=True,
            schema=answer_object({str(index): _ACTIVE for index in range(count)}, all_of_them=False),
        )
        return Question(request, partial(read_sparse, count=count))


def read_sparse(response: Response, count: int) -> Row | Unreadable:
    """One value for each of `count` tokens, 0 to 9; Unreadable for anything but an object from index to number.

    An empty object is an answer: no token is active.
    """
    answer = read_json_object(response.text)
    if isinstance(answer, Unreadable):
        return answer
    row = np.zeros(count, dtype=np.float32)
    for index, value in answer.items():
        if not _INDEX.fullmatch(index) or int(index) >= count:
            return NO_INDEX
        number = written_value(value)
        if isinstance(number, Unreadable):
            return number
        row[int(index)] = number
    return row
