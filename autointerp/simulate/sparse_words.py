"""`sparse-words`: the model names the active words of a text, with a value each. Nothing is to be counted.

As `sparse-json`, with words in place of indices, and at less cost; what either reaches with a small model is in
docs/methods.md. A word that stands several times in a text has one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from autointerp.contexts.naming import parted, whole_words
from autointerp.llm.answers.json import HIGHEST, SLACK, answer_object, between, read_json_object, written_value
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.quoting import quoted
from autointerp.records import Context
from autointerp.simulate.asked import Asked, Row

NAME = "sparse-words"
NOT_THERE = Unreadable("words that do not stand in the text")
_ACTIVE = between(1, HIGHEST)


class SparseWords(Asked):
    """Predicts on each token the value that the model writes for its word, and 0 where it leaves the word out."""

    name = NAME

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One chat: the text as one line; the answer is an object from word to value."""
        words = whole_words(context.pieces)
        distinct = list(dict.fromkeys(filter(None, words)))
        request = Request(
            messages=self._prompt.render(explanation=quoted(explanation), text=quoted("".join(context.pieces))),
            model=self._model,
            max_tokens=SLACK + sum(len(f'"{word}": 9, ') for word in distinct),
            temperature=0.0,
            seed=self._seed,
            json_object=True,
            schema=answer_object(dict.fromkeys(distinct, _ACTIVE), all_of_them=False),
        )
        return Question(request, partial(read_words, words=words))


def read_words(response: Response, words: Sequence[str]) -> Row | Unreadable:
    """One value for each token, given the word that it belongs to ('' for none), 0 to 9.

    A name of several words gives its value to each, the highest where there are two; words that don't stand in the text
    are left out. Unreadable where none does of an answer that names some, and for anything but an object from words to
    numbers. An empty object is an answer: no token is active.
    """
    answer = read_json_object(response.text)
    if isinstance(answer, Unreadable):
        return answer
    values = dict.fromkeys(filter(None, words), 0.0)
    there = not answer
    for name, value in answer.items():
        number = written_value(value)
        if isinstance(number, Unreadable):
            return number
        for word in {name, *parted(name)} & values.keys():
            there = True
            values[word] = max(values[word], number)
    return np.array([values.get(word, 0.0) for word in words], dtype=np.float32) if there else NOT_THERE
