"""Shared passages: documents that differ as wholes can quote the same paragraph (a licence, a notice)."""

from __future__ import annotations

import hashlib

from autointerp.corpus.duplicates import shingles

SHARED = 0.5
"""Share of a context's word 5-grams that may stand in earlier contexts; from there on it counts as seen."""
_TOKENS_PER_STEP = 32


class Passages:
    """Remembers word 5-grams of the contexts that were kept.

    Unlike the similarity of whole documents this finds a passage wherever it begins. Of contexts of more than 32
    tokens a part of the 5-grams is remembered, chosen by their hash (the 0 mod p sampling of Manber 1994), so that
    memory grows with the number of contexts, by about twenty hashes each, and not with their length.
    """

    def __init__(self, context: int) -> None:
        self._one_in = max(context // _TOKENS_PER_STEP, 1)
        self._known: set[int] = set()

    def seen(self, text: str) -> bool:
        """Whether at least half of the text stood in contexts that were added."""
        prints = self._fingerprints(text)
        return len(prints & self._known) >= SHARED * len(prints)

    def add(self, text: str) -> None:
        """Remember a context's text."""
        self._known |= self._fingerprints(text)

    def _fingerprints(self, text: str) -> set[int]:
        """Hashes of the 5-grams that are sampled; of all of them when none is."""
        hashes = {int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "big") for s in shingles(text)}
        return {h for h in hashes if h % self._one_in == 0} or hashes
