"""`one-by-one` through an endpoint that gives log-probabilities of the answer, a chat or a completion.

At the answer's first character the digits among the likeliest tokens are renormalised. A digit that is not among them
counts as impossible.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.llm.answers.logprobs import holders
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.simulate.asking import Asking, Group, Row
from autointerp.simulate.digits_output import OTHER_TEXT, UNLIKELY
from autointerp.simulate.expected import ALTERNATIVES, expected_digit
from autointerp.simulate.one_by_one import NAME, by_token

_ROOM = 8
"""Tokens for blanks and a digit; what a chatty model writes after them is not read."""
EMPTY = Unreadable("an empty answer")


class OneByOneServed(Asking):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME

    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """One for each token of each context: those of one context begin alike, and follow one another."""
        return [
            Question(
                Request(
                    messages=messages,
                    model=self._model,
                    max_tokens=_ROOM,
                    temperature=0.0,
                    seed=self._seed,
                    stop=("\n",),
                    top_logprobs=ALTERNATIVES,
                    beginning=True,
                ),
                read_digit,
            )
            for context in group
            for messages in by_token(self._prompt, explanation, context)
        ]


def read_digit(response: Response) -> Row | Unreadable:
    """The expected digit, as one value, at the answer's first character that is not blank; whatever was written there.

    Unreadable where no digit is among the alternatives.
    """
    answer = response.text.strip()
    if not answer:
        return EMPTY
    place = "".join(token.text for token in response.logprobs).find(answer)
    if place < 0:
        return OTHER_TEXT
    ((token, inside),) = holders(response.logprobs, [place])
    blank = not token.text[:inside].strip(" ")  # a digit may come with or without the space before it
    value = expected_digit(token, 0 if blank else inside)
    return UNLIKELY if value is None else np.array([value], dtype=np.float32)
