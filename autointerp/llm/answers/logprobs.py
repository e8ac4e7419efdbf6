"""Log-probabilities in answers: the token that holds a character, the digit expected there, shares of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp

import numpy as np
from jaxtyping import Float

from autointerp.llm.request import Response, TokenLogprob, Unreadable


def holders(tokens: Sequence[TokenLogprob], places: Sequence[int]) -> Iterator[tuple[TokenLogprob, int]]:
    """For each of `places` (ascending characters of the tokens' joined texts) its token, and the place inside it."""
    wanted, start = iter(places), 0
    place = next(wanted, None)
    for token in tokens:
        end = start + len(token.text)
        while place is not None and place < end:
            yield token, place - start
            place = next(wanted, None)
        start = end


ALTERNATIVES = 20
"""Likeliest tokens asked for: what endpoints give at most. Fewer than 10 leave digits out, those of least weight."""
LEAST = 5
"""With fewer than these alternatives an expected value says little more than the digit itself."""
DIGITS = "0123456789"


def expected_digit(token: TokenLogprob, inside: int) -> float | None:
    """The digit expected at character `inside` of a token, 0 to 9; None when no digit is among the alternatives.

    All spellings of a digit that can stand there count (`7`, ` 7`, `7` with the line's end), and the probabilities
    are renormalised over the digits (Bills et al. 2023). What comes before the digit in its own token must be the
    same in an alternative: it is another place otherwise.
    """
    prefix = token.text[:inside]
    found = [(digit, logprob) for text, logprob in token.top if (digit := _digit(text, prefix)) is not None]
    own = _digit(token.text, prefix)
    if own is not None and token.logprob is not None and all(text != token.text for text, _ in token.top):
        found.append((own, token.logprob))
    most = max((logprob for _, logprob in found), default=None)
    if most is None:
        return None
    weights = [exp(logprob - most) for _, logprob in found]
    return sum(digit * weight for (digit, _), weight in zip(found, weights, strict=True)) / sum(weights)


NO_LIKELY_DIGIT = "no digit among the top log-probabilities"
"""Why a place has no expected digit."""


def expected_digits(tokens: Sequence[TokenLogprob], places: Sequence[int]) -> Float[np.ndarray, " place"] | None:
    """`expected_digit` at each of `places` (as for `holders`); None where one has none."""
    values = [expected_digit(*holder) for holder in holders(tokens, places)]
    known = [value for value in values if value is not None]
    return np.array(known, dtype=np.float32) if len(known) == len(places) else None


def _digit(text: str, prefix: str) -> int | None:
    """The digit of an alternative at the place after `prefix`; None when it has something else there."""
    if not text.startswith(prefix):
        return None
    rest = text[len(prefix) :]
    if not prefix:
        rest = rest.lstrip(" ")
    return int(rest[0]) if rest[:1] and rest[0] in DIGITS and not rest[1:].strip() else None


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
