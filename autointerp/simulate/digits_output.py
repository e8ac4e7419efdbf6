"""`digits-output`: Bills et al. 2023's expected values, for chat endpoints that give log-probabilities of the answer.

The model writes one line per token, `index=digit`. At each digit that it writes, the probabilities of the ten digits
are renormalised, and the prediction is their expected value. Lines carry the index and not the token: the index keeps
a weak model in step, and nothing out of the context is in the answer that would have to be told from it.
"""

from __future__ import annotations

import re
from functools import partial

from autointerp.llm.answers.json import SLACK, WRONG_NUMBER
from autointerp.llm.answers.logprobs import ALTERNATIVES, DIGITS, NO_LIKELY_DIGIT, OTHER_TEXT, expected_digits
from autointerp.llm.request import Question, Request, Response, Unreadable
from autointerp.records import Context
from autointerp.simulate.asked import Asked, Row

NAME = "digits-output"
_LINE = re.compile(r"^[ \t]*([0-9]+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
NO_DIGIT = Unreadable("a value that is not a digit from 0 to 9")
UNLIKELY = Unreadable(NO_LIKELY_DIGIT)


class DigitsOutput(Asked):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One chat: the tokens by index; the answer ends after the last token's line."""
        count = len(context.pieces)
        request = Request(
            messages=self.by_index(explanation, context),
            model=self._model,
            max_tokens=SLACK + sum(len(f"{index}=9\n") for index in range(count)),
            temperature=0.0,
            seed=self._seed,
            stop=("\n\n", f"\n{count}="),
            top_logprobs=ALTERNATIVES,
        )
        return Question(request, partial(read_digits, count=count))


def read_digits(response: Response, count: int) -> Row | Unreadable:
    """The expected digit of each of `count` tokens; Unreadable unless there is one line for each, in their order."""
    lines = list(_LINE.finditer(response.text))
    if [line[1] for line in lines] != [str(index) for index in range(count)]:
        return WRONG_NUMBER
    if not all(len(line[2]) == 1 and line[2] in DIGITS for line in lines):
        return NO_DIGIT
    spelled = "".join(token.text for token in response.logprobs)
    shift = spelled.find(response.text.strip())
    if shift < 0:
        return OTHER_TEXT
    shift -= len(response.text) - len(response.text.lstrip())
    digits = expected_digits(response.logprobs, [shift + line.start(2) for line in lines])
    return UNLIKELY if digits is None else digits
