"""Where training takes its vectors from: shuffled batches, several times over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor


class Batches(ABC, Iterator[Tensor]):
    """Batches [vector, d_in] of a source, one after the other; a reader can be put where another one stands."""

    @abstractmethod
    def __next__(self) -> Float[Tensor, "vector d_in"]:
        """The next batch: not to be written to, and not overwritten by later ones."""

    @abstractmethod
    def ahead(self, count: int) -> Float[Tensor, "vector d_in"]:
        """The vectors of the next `count` batches, or of as many as there are; they are still to come."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Where this reader stands, for `VectorSource.batches`; to be used before the next batch is taken."""


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

    @property
    def identity(self) -> str:
        """What the batches depend on besides size, passes and seed, in words: a state is only good for the same."""
        return f"{self.count} vectors of {self.d_in}"

    @abstractmethod
    def batches(self, size: int, passes: int, seed: int, state: Mapping[str, Tensor] | None = None) -> Batches:
        """`passes * count // size` batches of `size` vectors, each pass in its own order.

        Batches run on from one pass to the next; what is left at the very end is dropped. `state` of a reader that was
        opened with the same arguments: the batches that it had still to give.
        """


class NumberedBatches(Batches):
    """Batches of a source that can begin at any of them: its state is a number."""

    def __init__(self, open_at: Callable[[int], Iterator[Tensor]], state: Mapping[str, Tensor] | None) -> None:
        """`open_at` gives the batches from that number on, counted from 0."""
        self._open_at = open_at
        self._given = 0 if state is None else int(state["given"])
        self._rest = open_at(self._given)

    def __next__(self) -> Float[Tensor, "vector d_in"]:
        """See Batches."""
        batch = next(self._rest)
        self._given += 1
        return batch

    def ahead(self, count: int) -> Float[Tensor, "vector d_in"]:
        """See Batches. They are read twice."""
        return torch.cat(list(islice(self._open_at(self._given), count)))

    def state(self) -> dict[str, Tensor]:
        """See Batches."""
        return {"given": torch.tensor(self._given)}


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

    def batches(self, size: int, passes: int, seed: int, state: Mapping[str, Tensor] | None = None) -> Batches:
        """See VectorSource. Every pass is a uniform permutation."""
        return NumberedBatches(partial(self._shuffled, size, passes, seed), state)

    def _shuffled(self, size: int, passes: int, seed: int, skip: int) -> Iterator[Float[Tensor, "vector d_in"]]:
        whole = ShuffleWindow(self.count, lambda: self._vectors)
        return shuffled_batches((whole for _ in range(passes)), size, torch.Generator().manual_seed(seed), skip)


@dataclass(frozen=True)
class ShuffleWindow:
    """Vectors that are shuffled together."""

    size: int
    read: Callable[[], Float[Tensor, "_ d_in"]]
    """Gives them; they may be overwritten once the next window is read. Not called for a window that is skipped."""


def shuffled_batches(
    windows: Iterable[ShuffleWindow], size: int, generator: torch.Generator, skip: int
) -> Iterator[Float[Tensor, "vector d_in"]]:
    """Batches of `size` out of consecutive windows, each shuffled whole; without the first `skip` batches."""
    pending: Tensor | None = None
    gone = skip * size
    for window in windows:
        order = torch.randperm(window.size, generator=generator)
        if gone >= window.size:
            gone -= window.size
            continue
        vectors = window.read()
        order, gone = order[gone:].to(vectors.device), 0
        first = 0
        if pending is not None:
            first = min(size - pending.shape[0], order.shape[0])
            pending = torch.cat([pending, vectors.index_select(0, order[:first])])
            if pending.shape[0] < size:
                continue
            yield pending
        whole = first + (order.shape[0] - first) // size * size
        for start in range(first, whole, size):
            yield vectors.index_select(0, order[start : start + size])
        pending = vectors.index_select(0, order[whole:]) if whole < order.shape[0] else None
