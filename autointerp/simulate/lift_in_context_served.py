"""`lift-in-context` through a server that gives log-probabilities of a prompt: one request per explanation and context.

The prompt is the one of the process: heading, then the context. The server cuts it into tokens of its own; where these
stand in the text is found out from their texts (`echoed`).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from autointerp.llm.request import COMPLETION, Question, Request, Response
from autointerp.quoting import unmarked
from autointerp.records import Context, Scale, Unscored
from autointerp.simulate.alignment import carry_over
from autointerp.simulate.asked import Asked
from autointerp.simulate.asking import Row
from autointerp.simulate.echoed import places_of
from autointerp.simulate.lift_in_context import NAME, heading

OTHER_PROMPT = Unscored("the log-probabilities are of another text than the prompt")
NO_LOGPROB = Unscored("a token of the context has no log-probability")


class TextLikelihood(Asked):
    """The log-probability of every token of a context under an explanation, as a server tells it."""

    name = NAME
    scale = Scale.NATS

    def question(self, explanation: str, context: Context) -> Question[Row]:
        """One text, whose continuation (a token, since servers want one) is not read."""
        above = unmarked(heading(self._prompt, explanation))
        pieces = harmless(context.pieces)
        request = Request(
            ((COMPLETION, above + "".join(pieces)),), self._model, 1, 0.0, self._seed, prompt_logprobs=1
        )  # fmt: skip
        return Question(request, partial(read_likelihood, above=above, pieces=pieces))


def read_likelihood(response: Response, above: str, pieces: tuple[str, ...]) -> Row | Unscored:
    """The log-probability of each of `pieces`: the mean over the server's tokens that it shares characters with.

    What can't be read is final: a prompt stays as it is.
    """
    tokens = response.prompt_logprobs
    places = places_of([token.text for token in tokens], above + "".join(pieces))
    if places is None:
        return OTHER_PROMPT
    of_context = [
        (token.logprob, (start - len(above), end - len(above)))
        for token, (start, end) in zip(tokens, places, strict=True)
        if end > len(above)
    ]
    known = [logprob for logprob, _ in of_context if logprob is not None]
    if len(known) < len(of_context):
        return NO_LOGPROB
    return carry_over(np.array(known, dtype=np.float32), pieces, [place for _, place in of_context])


def harmless(pieces: tuple[str, ...]) -> tuple[str, ...]:
    """The pieces with a space inside the marks of chat templates that they spell, together or alone."""
    text = unmarked("".join(pieces))
    place, mended = 0, []
    for piece in pieces:
        start = place
        for character in piece:
            place += 1 if text[place] == character else 2
        mended.append(text[start:place])
    return tuple(mended)
