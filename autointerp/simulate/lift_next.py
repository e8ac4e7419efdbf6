"""`lift-next`: the prediction at a token is the lift of the token after it, for units that predict what comes next.

What comes after a context's last token is not in the context. There the prediction is the mean of the context's other
predictions: a zero would say that the unit is silent, and nothing is known that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autointerp.progress import Bar
from autointerp.records import Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task

NAME = "lift-next"


class LiftNext:
    """Moves what `lift` predicts, of a model in the process or through a server, by one token."""

    name = NAME

    def __init__(self, current: Simulator) -> None:
        """`current` predicts from the current token."""
        self.scale = current.scale
        self._current = current

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """As `current` yields; a context of one token, which has no next one, leaves its task Unscored."""
        for place, result in self._current.simulate(tasks, progress):
            yield place, result if isinstance(result, Unscored) else from_next(result)


def from_next(current: Simulation) -> Simulation | Unscored:
    """Each token's prediction, from the one of the token after it."""
    known = current.predicted[:, 1:]
    if not known.shape[1]:
        return Unscored("a context of one token has no next token")
    last = known.mean(axis=1, keepdims=True)
    return Simulation(np.concatenate([known, last], axis=1), current.scale)
