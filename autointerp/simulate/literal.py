"""`literal` and `literal-words`: no model, only the words that the explanation names, wherever they stand.

`literal` predicts 1 where a token's text is one of them, else 0; `literal-words` where the token belongs to a word that
is one of them, whatever its case. They are the floor: what a simulator that reads with a language model adds is the
difference from them, on the same explanations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autointerp.contexts.naming import Named
from autointerp.progress import Bar
from autointerp.records import Scale, Simulation, Unscored
from autointerp.simulate.interface import Task
from autointerp.study import Study

LITERAL = "literal"
LITERAL_WORDS = "literal-words"


def readers_of(study: Study) -> tuple[str, ...]:
    """Those that read a run's explanations beside its simulator."""
    return tuple(n for n in (LITERAL, LITERAL_WORDS) if study.simulate.literal and n != study.simulate.method)


class Literal:
    """Predicts 1 on the tokens that the explanation names, and 0 on all others."""

    scale = Scale.NAMED

    def __init__(self, name: str = LITERAL) -> None:
        """`name` says which of the two forms it is."""
        self.name = name
        self._named = Named(whole=name == LITERAL_WORDS)

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """In the order of the tasks; none fails."""
        for place, task in enumerate(tasks):
            named = self._named.tokens(task.explanation, task.contexts)
            yield place, Simulation(named.astype(np.float32), self.scale)
            progress.advance()
