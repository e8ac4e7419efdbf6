"""Which token holds a character of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autointerp.llm.request import TokenLogprob


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
