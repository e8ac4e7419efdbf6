"""Vectors that are computed while training goes on, mixed in a buffer: nothing on disk, memory for the buffer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from sae.errors import SaeError
from sae.streams.vectors import Batches, VectorSource

Open = Callable[[int], Iterator[Tensor]]
"""Gives a pass's chunks [vector, d_in] from that number on, counted from 0: the same ones every time."""


class LiveVectors(VectorSource):
    """Batches drawn from a buffer that a stream of chunks fills.

    Whenever half of the buffer has been handed out it is filled up again, and the next half is drawn from all of it. So
    vectors of one document are spread over many batches. A pass begins when the one before it is handed out whole.
    """

    def __init__(self, open_at: Open, *, count: int, d_in: int, buffer: int, about: str) -> None:
        """`count`: vectors of a pass; `buffer`: vectors in memory, at least 2; `about`: what the stream is."""
        self._open_at, self._count, self._d_in = open_at, count, d_in
        self._buffer, self._about = buffer, about

    @property
    def d_in(self) -> int:
        """See VectorSource."""
        return self._d_in

    @property
    def count(self) -> int:
        """See VectorSource."""
        return self._count

    @property
    def identity(self) -> str:
        """See VectorSource."""
        return f"{self.count} vectors of {self.d_in}, mixed in {self._buffer}: {self._about}"

    def batches(self, size: int, passes: int, seed: int, state: Mapping[str, Tensor] | None = None) -> Batches:
        """See VectorSource. The stream is opened anew for every pass, and where a state is taken up.

        While batches are taken SaeError is raised when a pass of the stream has not `count` vectors.
        """
        stream = _Stream(self._open_at, self._count, passes)
        mixed = _Mixed(stream, torch.empty(self._buffer, self._d_in), size, torch.Generator().manual_seed(seed))
        if state is not None:
            mixed.restore(state)
        return mixed


class _Stream:
    """The chunks of all passes, any number of vectors at a time; and where it stands."""

    def __init__(self, open_at: Open, count: int, passes: int) -> None:
        self._open_at, self._count, self._passes = open_at, count, passes
        self._begin(1)

    def _begin(self, number: int) -> None:
        self._pass, self._chunk, self._vectors = number, 0, 0
        self._chunks, self._rest = self._open_at(0), torch.empty(0)

    def next_pass(self) -> bool:
        """Begin the next pass; False where there is none."""
        if self._pass == self._passes:
            return False
        self._begin(self._pass + 1)
        return True

    def take(self, most: int) -> Tensor:
        """The next vectors of this pass, `most` of them or fewer; none when it is over."""
        while not self._rest.shape[0]:
            chunk = next(self._chunks, None)
            if chunk is None:
                if self._vectors != self._count:
                    what = f"the stream has {self._vectors} vectors, not {self._count}"
                    raise SaeError(what, "count those of a whole pass")
                return self._rest
            self._rest, self._chunk = chunk, self._chunk + 1
        taken, self._rest = self._rest[:most], self._rest[most:]
        self._vectors += taken.shape[0]
        return taken

    def state(self) -> dict[str, Tensor]:
        return {"place": torch.tensor([self._pass, self._chunk, self._vectors]), "rest": self._rest}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._pass, self._chunk, self._vectors = state["place"].tolist()
        self._chunks, self._rest = self._open_at(self._chunk), state["rest"]


class _Mixed(Batches):
    """The buffer, and the vectors drawn from it that are still to be handed out."""

    def __init__(self, stream: _Stream, room: Float[Tensor, "_ d_in"], size: int, generator: torch.Generator) -> None:
        self._stream, self._room, self._size, self._generator = stream, room, size, generator
        self._filled = 0
        self._ready = room[:0].clone()

    def __next__(self) -> Float[Tensor, "vector d_in"]:
        """See Batches."""
        self._draw(self._size)
        if self._ready.shape[0] < self._size:
            raise StopIteration
        batch, self._ready = self._ready[: self._size], self._ready[self._size :]
        return batch

    def ahead(self, count: int) -> Float[Tensor, "vector d_in"]:
        """See Batches. They are kept until they are handed out."""
        self._draw(count * self._size)
        return self._ready[: min(count, self._ready.shape[0] // self._size) * self._size]

    def _draw(self, wanted: int) -> None:
        """Have so many vectors ready, if there are so many left."""
        while self._ready.shape[0] < wanted:
            self._fill()
            if not self._filled:
                return
            kept = self._filled // 2 if self._filled == self._room.shape[0] else 0  # at the end of a pass: nothing
            order = torch.randperm(self._filled, generator=self._generator)
            self._ready = torch.cat([self._ready, self._room.index_select(0, order[kept:])])
            self._room[:kept] = self._room.index_select(0, order[:kept])
            self._filled = kept

    def _fill(self) -> None:
        """Fill the buffer from this pass; from the next one if nothing is left of this one."""
        while self._filled < self._room.shape[0]:
            taken = self._stream.take(self._room.shape[0] - self._filled)
            if taken.shape[0]:
                self._room[self._filled : self._filled + taken.shape[0]] = taken
                self._filled += taken.shape[0]
            elif self._filled or not self._stream.next_pass():
                return

    def state(self) -> dict[str, Tensor]:
        """See Batches."""
        own = {"rows": self._room[: self._filled], "ready": self._ready, "generator": self._generator.get_state()}
        return {**own, **self._stream.state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Stand where the reader stood whose state this is."""
        self._filled = state["rows"].shape[0]
        self._room[: self._filled] = state["rows"]
        self._ready = state["ready"]
        self._generator.set_state(state["generator"])
        self._stream.restore(state)
