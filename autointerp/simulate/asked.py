"""Simulators that ask: one question per explanation and context, all of them together, through any endpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from autointerp.llm.client import Asker
from autointerp.llm.reading import read_each
from autointerp.llm.request import Question, Request
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.quoting import quoted
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.base import Task
from autointerp.simulate.vocabulary import one_line

Row = Float[np.ndarray, " token"]
"""Predicted activations of one context, float32."""
_Key = tuple[str, int]
"""Explanation and context."""


@dataclass
class _Plan:
    """What is to be asked for a list of tasks."""

    contexts: dict[int, Context] = field(default_factory=dict)
    wanted: dict[_Key, list[int]] = field(default_factory=dict)
    """Each distinct question, in the order of the tasks, and the tasks that wait for it."""
    hopeless: dict[int, Unscored] = field(default_factory=dict)
    """Tasks that nothing can be asked for."""


class Asked(ABC):
    """Predicts 0 to 9 at every token. A simulator says what it asks about one context, and how an answer is read."""

    name: str
    scale = Scale.ZERO_TO_NINE

    def __init__(self, asker: Asker, prompt: Prompt, model: str, seed: int) -> None:
        """`model`: the study's name of the language model; `seed`: of every request, most are at temperature 0."""
        self._asker, self._prompt, self._model, self._seed = asker, prompt, model, seed

    @abstractmethod
    def question(self, explanation: str, context: Context) -> Question[Row]:
        """What is asked about one context, given an explanation on one line; read to one value per token."""

    def by_index(self, explanation: str, context: Context) -> tuple[tuple[str, str], ...]:
        """The prompt, with the explanation and every token of the context as quoted data."""
        return self._prompt.render(explanation=quoted(explanation), tokens=[quoted(piece) for piece in context.pieces])

    def requests(self, tasks: Sequence[Task]) -> Iterator[Request]:
        """What `simulate` would ask (re-asks aside), each request once. Nothing is sent."""
        plan = _plan(tasks)
        for explanation, context in plan.wanted:
            yield self.question(explanation, plan.contexts[context]).request

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Tasks as they are complete. Explanation and context that several tasks share are asked about once.

        A task of which a context stays unanswered is Unscored with the reason of the first such context.
        """
        plan = _plan(tasks)
        for place, why in plan.hopeless.items():
            progress.advance()
            yield place, why
        keys = list(plan.wanted)
        questions = (self.question(text, plan.contexts[context]) for text, context in keys)
        gathered: dict[int, dict[int, Row | Unscored]] = {}
        for number, row in read_each(self._asker, questions, Bar()):
            for place in plan.wanted[keys[number]]:
                rows = gathered.setdefault(place, {})
                rows[keys[number][1]] = row
                ids = [c.context for c in tasks[place].contexts]
                if len(rows) == len(set(ids)):
                    del gathered[place]
                    progress.advance()
                    yield place, self._whole(ids, rows)

    def _whole(self, ids: Sequence[int], rows: Mapping[int, Row | Unscored]) -> Simulation | Unscored:
        values: list[Row] = []
        for context in ids:
            row = rows[context]
            if isinstance(row, Unscored):
                return row
            values.append(row)
        return Simulation(np.stack(values), self.scale)


def _plan(tasks: Sequence[Task]) -> _Plan:
    plan = _Plan()
    for place, task in enumerate(tasks):
        text = one_line(task.explanation)
        if not text or not task.contexts:
            plan.hopeless[place] = Unscored("no context to predict" if text else "empty explanation")
            continue
        for context in {c.context: c for c in task.contexts}.values():
            plan.contexts[context.context] = context
            plan.wanted.setdefault((text, context.context), []).append(place)
    return plan
