"""In which contexts of a split each unit is active: one bit per context and unit, less than the contexts' tokens."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

_CHUNK = 4096


class Activity:
    """Filled in the order of the split's contexts, then read in any part of it."""

    def __init__(self, units: int, contexts: Int[np.ndarray, " context"]) -> None:
        """`contexts` are the ids of the whole split, in order."""
        self._units, self._contexts, self._filled = units, contexts, 0
        self._bits = np.zeros((len(contexts), -(-units // 8)), dtype=np.uint8)

    def add(self, active: Bool[np.ndarray, "context unit"], contexts: Int[np.ndarray, " context"]) -> None:
        """Take the next contexts; ValueError when they are others."""
        rows = slice(self._filled, self._filled + len(contexts))
        if not np.array_equal(self._contexts[rows], contexts):
            raise ValueError("the contexts of a split came in another order than that of their table")
        self._bits[rows] = np.packbits(active, axis=1)
        self._filled = rows.stop

    def rows(self, first: int, last: int) -> Bool[np.ndarray, "context unit"]:
        """The contexts at places `first` up to `last`."""
        return np.unpackbits(self._bits[first:last], axis=1, count=self._units).astype(bool)

    def overlap(self) -> Float[np.ndarray, "unit unit"]:
        """Of the contexts in which either of two units is active, the share in which both are; 0 where neither ever is.

        Not the number of them: then the densest unit would be everybody's nearest.
        """
        both = np.zeros((self._units, self._units))
        for first in range(0, self._filled, _CHUNK):
            active = self.rows(first, first + _CHUNK).astype(np.float32)
            both += active.T @ active
        alone = np.diag(both)
        return np.asarray(both / np.maximum(alone[:, None] + alone[None, :] - both, 1))
