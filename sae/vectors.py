"""Where training takes its vectors from: shuffled batches, several times over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor


class VectorSource(ABC):
    """A fixed set of vectors that can be read in seeded order."""

    @property
    @abstractmethod
    def d_in(self) -> int:
        """Length of a vector."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many vectors there are."""

    @abstractmethod
    def batches(self, size: int, passes: int, seed: int) -> Iterator[Float[Tensor, "vector d_in"]]:
        """`passes * count // size` batches of `size` vectors; each pass in its own order.

        Batches run on from one pass to the next; what is left at the very end is dropped.
        """


class MemoryVectors(VectorSource):
    """Vectors that are in memory already."""

    def __init__(self, vectors: Float[Tensor, "vector d_in"]) -> None:
        self._vectors = vectors

    @property
    def d_in(self) -> int:
        """See VectorSource."""
        return self._vectors.shape[1]

    @property
    def count(self) -> int:
        """See VectorSource."""
        return self._vectors.shape[0]

    def batches(self, size: int, passes: int, seed: int) -> Iterator[Float[Tensor, "vector d_in"]]:
        """See VectorSource. Every pass is a uniform permutation."""
        generator = torch.Generator().manual_seed(seed)
        return shuffled_batches((self._vectors for _ in range(passes)), size, generator)


def shuffled_batches(
    windows: Iterable[Float[Tensor, "_ d_in"]], size: int, generator: torch.Generator
) -> Iterator[Float[Tensor, "vector d_in"]]:
    """Batches of `size` out of consecutive windows, each shuffled whole. A window may be overwritten for the next."""
    pending: Tensor | None = None
    for window in windows:
        order = torch.randperm(window.shape[0], generator=generator)
        first = 0
        if pending is not None:
            first = min(size - pending.shape[0], window.shape[0])
            pending = torch.cat([pending, window[order[:first]]])
            if pending.shape[0] < size:
                continue
            yield pending
        whole = first + (window.shape[0] - first) // size * size
        for start in range(first, whole, size):
            yield window[order[start : start + size]]
        pending = window[order[whole:]] if whole < window.shape[0] else None
