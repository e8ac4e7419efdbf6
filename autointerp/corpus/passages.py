"""Shared passages: documents that differ as wholes can quote the same paragraph (a licence, a notice)."""

from __future__ import annotations

import hashlib

from autointerp.corpus.duplicates import shingles

SHARED = 0.5
"""Share of a context's word 5-grams that may stand in earlier contexts; from there on it counts as seen."""
_ONE_IN = 4


class Passages:
    """Remembers a quarter of the word 5-grams of the contexts that were kept, chosen by their hash.

    Unlike the similarity of whole documents this finds a passage wherever it begins. Memory grows with the number of
    contexts: about ten hashes each.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()

    def seen(self, text: str) -> bool:
        """Whether at least half of the text stood in contexts that were added."""
        prints = _fingerprints(text)
        return len(prints & self._known) >= SHARED * len(prints)

    def add(self, text: str) -> None:
        """Remember a context's text."""
        self._known |= _fingerprints(text)


def _fingerprints(text: str) -> set[int]:
    """Hashes of the 5-grams whose hash is a multiple of four; of all of them when there is none."""
    hashes = {int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "big") for s in shingles(text)}
    return {h for h in hashes if h % _ONE_IN == 0} or hashes
