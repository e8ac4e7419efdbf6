"""BM25: which training sequences share rare tokens with a query? A baseline that knows no model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

K1 = 1.2
"""How fast repetitions saturate (Robertson and Zaragoza 2009)."""


def bm25(
    query: Int[np.ndarray, " token"], contexts: Int[np.ndarray, "sequence position"]
) -> Float[np.ndarray, " sequence"]:
    """Okapi BM25 of each sequence for the query's distinct tokens, with the idf that is never negative.

    Sequences are all of one length, so that there is no discount of long ones.
    """
    total = np.zeros(len(contexts))
    for token in np.unique(query):
        counts = (contexts == token).sum(axis=1)
        holding = int((counts > 0).sum())
        idf = np.log1p((len(contexts) - holding + 0.5) / (holding + 0.5))
        total += idf * counts * (K1 + 1) / (counts + K1)
    return total
