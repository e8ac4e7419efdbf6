"""What a model gave to the possible answers at a place of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from autointerp.llm.answers.logprobs import holders
from autointerp.llm.request import Response, TokenLogprob, Unreadable

OTHER_TEXT = Unreadable("the log-probabilities are of another text than the answer")
_AROUND = ' \t\r\n[]{},:"'
"""What a token may hold beside the answer's own characters."""


def tokens_at(response: Response, places: Sequence[int]) -> list[TokenLogprob] | Unreadable:
    """The token that holds the character at each of `places` (ascending) of the answer's text."""
    spelled = "".join(token.text for token in response.logprobs)
    shift = spelled.find(response.text)  # servers strip blanks before an answer, and keep the end token behind it
    if shift < 0:
        return OTHER_TEXT
    return [token for token, _ in holders(response.logprobs, [place + shift for place in places])]


def shares(token: TokenLogprob, answers: Sequence[frozenset[str]]) -> list[float] | None:
    """What each answer, in any of its spellings, has of the probability of all of them.

    None when none of them is among the token's alternatives.
    """
    alternatives = list(token.top)
    if token.logprob is not None and all(text != token.text for text, _ in alternatives):
        alternatives.append((token.text, token.logprob))
    weights = [
        sum(exp(min(logprob, 0.0)) for text, logprob in alternatives if text.strip(_AROUND) in spellings)
        for spellings in answers
    ]
    total = sum(weights)
    return [weight / total for weight in weights] if total > 0 else None
