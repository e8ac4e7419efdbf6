"""`digits` through a server that gives log-probabilities of the prompt (vLLM; completions with `echo`).

The prompt is the one of `digits`. At each place where a value is hidden, the digits among the likeliest tokens are
renormalised. A digit that is not among them counts as impossible.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from autointerp.llm.answers.logprobs import holders
from autointerp.llm.request import Question, Request, Response
from autointerp.quoting import cell, unmarked
from autointerp.records import Context, Unscored
from autointerp.simulate.asked import Asked
from autointerp.simulate.asking import Row
from autointerp.simulate.digits import HIDDEN, NAME
from autointerp.simulate.expected import ALTERNATIVES, expected_digit

_VALUE = re.compile(rf"\t(?={HIDDEN})")
OTHER_PROMPT = Unscored("the log-probabilities are of another text than the prompt")
UNLIKELY = Unscored("no digit among the top log-probabilities")


class DigitsServed(Asked):
    """Predicts the expected digit at every token, 0 to 9."""

    name = NAME

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One text, whose continuation (a token, since servers want one) is not read."""
        ((role, text),) = self._prompt.render(explanation=unmarked(explanation))
        lines = "".join(f"{cell(piece)}\t{HIDDEN}\n" for piece in context.pieces)
        request = Request(
            messages=((role, text.lstrip("\n") + lines),),
            model=self._model,
            max_tokens=1,
            temperature=0.0,
            seed=self._seed,
            prompt_logprobs=ALTERNATIVES,
        )
        examples = len(_VALUE.findall(text))
        return Question(request, partial(read_hidden, count=len(context.pieces), before=examples))


def read_hidden(response: Response, count: int, before: int = 0) -> Row | Unscored:
    """The expected digit at each of `count` hidden values. What can't be read is final: a prompt stays as it is.

    `before`: values that the prompt's own examples hide, which are not read.

    No text can hold a tab of its own, so the tabs before the hidden word are found whatever the server made of the
    characters between them.
    """
    spelled = "".join(token.text for token in response.prompt_logprobs)
    places = [match.end() for match in _VALUE.finditer(spelled)]
    if len(places) != before + count:
        return OTHER_PROMPT
    values = [expected_digit(*holder) for holder in holders(response.prompt_logprobs, places[before:])]
    known = [value for value in values if value is not None]
    return np.array(known, dtype=np.float32) if len(known) == count else UNLIKELY
