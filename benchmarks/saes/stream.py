"""A job's batches in their order, and the clock: a step lasts from one batch handed out to the next one asked for."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from torch import Tensor

from saes.job import Job
from saes.planted import Planted

_FIRST = 8


class Stream:
    """Iterates over a job's batches, once. Every batch is the taker's own: it may be written to."""

    def __init__(self, planted: Planted, job: Job) -> None:
        self._planted, self._job = planted, job
        self._given = 0
        self._since: float | None = None
        self._hash = hashlib.sha256()
        self.seconds: list[float] = []
        """Of every step but the last."""

    @property
    def first(self) -> list[Tensor]:
        """The first few batches, which come again: for those who estimate a scale before they train."""
        return [self._batch(number).clone() for number in range(min(_FIRST, self._job.steps))]

    @property
    def digest(self) -> str:
        """Of all vectors handed out so far."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        if self._since is not None and self._given < self._job.steps:
            self.seconds.append(time.perf_counter() - self._since)
        if self._given == self._job.steps:
            raise StopIteration
        x = self._batch(self._given).clone()
        self._hash.update(x.numpy().data)
        self._given += 1
        self._since = time.perf_counter()
        return x

    def _batch(self, number: int) -> Tensor:
        return self._planted.batch(number % self._job.pool if self._job.pool else number, self._job.batch)


def held_out(planted: Planted, vectors: int) -> Tensor:
    """Vectors that no stream hands out."""
    return planted.batch(-1, vectors)


def check(stream: Stream, steps: int) -> None:
    """Whether every batch was taken: a trainer that stops early would look fast."""
    if len(stream.seconds) != steps - 1:
        raise RuntimeError(f"{len(stream.seconds) + 1} steps were made, not {steps}")
