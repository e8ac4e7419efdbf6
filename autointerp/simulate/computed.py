"""Simulators that compute with a model in this process, one explanation and context after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autointerp.artifacts import hash_value
from autointerp.progress import Bar
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.asking import Row
from autointerp.simulate.interface import Numbers, Task
from autointerp.simulate.vocabulary import one_line


class Computed(ABC):
    """Predicts a value at every token. A simulator says how one context's values are computed."""

    name: str
    scale: Scale

    def __init__(self, identity: str, ledger: Numbers | None) -> None:
        """`identity` names the model; `ledger` keeps what was computed."""
        self._identity, self._ledger = identity, ledger

    @abstractmethod
    def row(self, explanation: str, context: Context) -> Row | Unscored:
        """One value per token, given an explanation on one line, or why there are none."""

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Tasks in their order. One is Unscored with the reason of its first context that has no values."""
        for place, task in enumerate(tasks):
            progress.advance()
            yield place, self._simulated(one_line(task.explanation), task.contexts)

    def _simulated(self, explanation: str, contexts: Sequence[Context]) -> Simulation | Unscored:
        if not explanation or not contexts:
            return Unscored("no context to predict" if explanation else "empty explanation")
        rows: list[Row] = []
        for context in contexts:
            row = self.row(explanation, context)
            if isinstance(row, Unscored):
                return row
            rows.append(row)
        return Simulation(np.stack(rows), self.scale)

    def kept(self, of: Sequence[Any], compute: Callable[[], Row | Unscored]) -> Row | Unscored:
        """What `compute` gives, from the ledger if it holds it; `of` (JSON-like) names all that it depends on."""
        if self._ledger is None:
            return compute()
        name = hash_value([self.name, self._identity, *of])
        held = self._ledger.numbers(name)
        if held is not None:
            return held
        row = compute()
        if not isinstance(row, Unscored):
            self._ledger.keep_numbers(name, self._identity, row)
        return row
