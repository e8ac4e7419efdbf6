"""What every simulator is: explanation and contexts in, predicted activations or a reason out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored


@dataclass(frozen=True)
class Task:
    """One explanation, to be tried on some contexts. The true activations are not in here."""

    explanation: str
    contexts: tuple[Context, ...]


@runtime_checkable
class Numbers(Protocol):
    """Where numbers are kept that a model in the process computed: the ledger."""

    def numbers(self, name: str) -> np.ndarray | None:
        """What was kept under a key; None when nothing was."""
        ...

    def keep_numbers(self, name: str, endpoint: str, values: np.ndarray) -> None:
        """Keep numbers under a key that names all they depend on."""
        ...


@runtime_checkable
class Vectors(Protocol):
    """A sentence model: where texts become vectors."""

    identity: str

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "text dimension"]:
        """One vector of length 1 per text, in order."""
        ...


@runtime_checkable
class Simulator(Protocol):
    """Predicts activations from an explanation. One file and one registration each."""

    name: str
    scale: Scale

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Yield (position of the task, result) for every task, in any order; advance `progress` per task.

        Batches depend on `tasks` alone, so that the same tasks give the same numbers, bit for bit.
        """
        ...
