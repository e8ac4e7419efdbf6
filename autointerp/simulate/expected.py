"""The expected digit at a place of a text, from the log-probabilities of the likeliest tokens there."""

from __future__ import annotations

from math import exp

from autointerp.llm.request import TokenLogprob

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


def _digit(text: str, prefix: str) -> int | None:
    """The digit of an alternative at the place after `prefix`; None when it has something else there."""
    if not text.startswith(prefix):
        return None
    rest = text[len(prefix) :]
    if not prefix:
        rest = rest.lstrip(" ")
    return int(rest[0]) if rest[:1] and rest[0] in DIGITS and not rest[1:].strip() else None
