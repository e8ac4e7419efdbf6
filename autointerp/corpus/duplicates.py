"""Near-duplicates: MinHash signatures of word 5-grams in locality-sensitive bands (Broder 1997)."""

from __future__ import annotations

import re

import numpy as np
from datasketch import MinHash, MinHashLSH

from autointerp.artifacts import seed_of
from autointerp.corpus.document import normalised, text_hash

PERMUTATIONS = 64
"""Length of a signature; the standard error of an estimated similarity is 1/16 at most."""
_WORDS_PER_SHINGLE = 5
_RECALL = 0.95
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""A word; in scripts that put no space between words, a character."""


class NearDuplicates:
    """Remembers the documents that were kept, and tells whether a new one is a copy of any of them.

    Memory grows with the number of kept documents (a hash, a signature of 64 numbers and its bands: a few kB each),
    not with their length. A candidate shares a band with a kept document; it is a copy when the two whole signatures
    agree in a share of at least `threshold` places, the MinHash estimate of the Jaccard similarity of their shingles.
    """

    def __init__(self, threshold: float, seed: int) -> None:
        self._threshold = threshold
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=seed_of(seed, "near-duplicates") % 2**32)
        rows = _rows_per_band(threshold)
        self._bands = MinHashLSH(num_perm=PERMUTATIONS, params=(PERMUTATIONS // rows, rows))
        self._signatures: list[np.ndarray] = []
        self._exact: set[bytes] = set()

    def add_if_new(self, text: str) -> bool:
        """Remember `text` and say True, or say False when it is a copy of a text remembered earlier."""
        exact = bytes.fromhex(text_hash(text))
        if exact in self._exact:
            return False
        sketch = self._blank.copy()
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        signature = sketch.hashvalues.astype(np.uint32)
        for other in self._bands.query(sketch):
            if np.mean(self._signatures[other] == signature) >= self._threshold:
                return False
        self._exact.add(exact)
        self._bands.insert(len(self._signatures), sketch, check_duplication=False)
        self._signatures.append(signature)
        return True


def shingles(text: str) -> set[str]:
    """The word 5-grams of the normalised text; a shorter text is one shingle."""
    words = _WORD.findall(normalised(text))
    n = _WORDS_PER_SHINGLE
    return {" ".join(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))}


def _rows_per_band(threshold: float) -> int:
    """The most selective banding that still finds 95% of the pairs whose similarity is the threshold."""
    for rows in (32, 16, 8, 4, 2):
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= _RECALL:
            return rows
    return 1
