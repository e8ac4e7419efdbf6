"""Pairings of each unit with another unit's explanation: the null that every run reports."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from autointerp.errors import BadInput


def derangements(n: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, "derangement unit"]:
    """Draw `count` permutations of `n` units without a fixed point, uniformly and independently.

    Entry [d, u] is the unit whose explanation unit u gets in derangement d. A permutation with a fixed point is thrown
    away as a whole (about 1.7 for each that is kept): mending it instead would not be uniform.

    Raises BadInput when there is no other unit to pair with.
    """
    if n < 2:
        raise BadInput(f"no other unit in the arm (it has {n})", "sample at least two units of every arm")
    own = np.arange(n)
    kept: list[Int[np.ndarray, " unit"]] = []
    while len(kept) < count:
        drawn = rng.permutation(n)
        if not (drawn == own).any():
            kept.append(drawn)
    return np.stack(kept) if kept else np.empty((0, n), dtype=np.int64)
