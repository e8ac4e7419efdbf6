"""Simulators that ask through any endpoint: about contexts together (`Asking`), or of each context (`Asked`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from autointerp.llm.client import Asker
from autointerp.llm.questions import gather
from autointerp.llm.request import Question, Request
from autointerp.progress import Bar
from autointerp.prompting import Prompt
from autointerp.quoting import quoted
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Task
from autointerp.simulate.vocabulary import prompt_line

Row = Float[np.ndarray, " token"]
"""Predicted activations of a run of tokens, float32."""
Group = tuple[Context, ...]
"""Contexts that are asked about together."""
_Ids = tuple[int, ...]
"""Names a group: the ids of its contexts, in its order."""


@dataclass
class _TaskPlan:
    """What is to be asked for a list of tasks."""

    groups: dict[_Ids, Group] = field(default_factory=dict)
    wanted: dict[tuple[str, _Ids], list[int]] = field(default_factory=dict)
    """Each distinct pair of explanation and group, in the order of the tasks, and the tasks that wait for it."""
    of_task: dict[int, list[_Ids]] = field(default_factory=dict)
    """The groups of each task."""
    hopeless: dict[int, Unscored] = field(default_factory=dict)
    """Tasks that nothing can be asked for."""


def _joined(rows: Sequence[Float[np.ndarray, " _"] | Unscored]) -> Row | Unscored:
    """All values in the order of the questions; the reason of the first question that has none."""
    found = [row for row in rows if not isinstance(row, Unscored)]
    failed = [row for row in rows if isinstance(row, Unscored)]
    return failed[0] if failed else np.concatenate(found)


class Asking(ABC):
    """Predicts 0 to 9 at every token. A simulator says which contexts it asks about together, and what it asks."""

    name: str
    scale = Scale.ZERO_TO_NINE

    def __init__(self, asker: Asker, prompt: Prompt, model: str, seed: int) -> None:
        """`model`: the study's name of the language model; `seed`: of every request, most are at temperature 0."""
        self._asker, self._prompt, self._model, self._seed = asker, prompt, model, seed

    def groups(self, contexts: Sequence[Context]) -> Sequence[Group]:
        """A task's contexts, each in one group. Depends on the contexts alone, never on an explanation."""
        return [(context,) for context in contexts]

    @abstractmethod
    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """What is asked about a group, given an explanation on one line; at least one question.

        What they are read to, joined, is one value per token: those of the group's first context, then of the next.
        """

    def requests(self, tasks: Sequence[Task]) -> Iterator[Request]:
        """What `simulate` would ask (re-asks aside), each request once. Nothing is sent."""
        plan = self._plan(tasks)
        for explanation, ids in plan.wanted:
            for question in self.questions(explanation, plan.groups[ids]):
                yield question.request

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """Tasks as they are complete. Explanation and contexts that several tasks share are asked about once.

        A task of which a question stays unanswered is Unscored with the reason of the first such question.
        """
        plan = self._plan(tasks)
        for place, why in plan.hopeless.items():
            progress.advance()
            yield place, why
        gathered: dict[int, dict[_Ids, Row | Unscored]] = {}
        for (text, ids), row in self._answers(plan):
            for place in plan.wanted[text, ids]:
                rows = gathered.setdefault(place, {})
                rows[ids] = row
                if len(rows) == len(plan.of_task[place]):
                    del gathered[place]
                    progress.advance()
                    yield place, self._whole(tasks[place], plan.of_task[place], rows)

    def _answers(self, plan: _TaskPlan) -> Iterator[tuple[tuple[str, _Ids], Row | Unscored]]:
        """The values of each explanation and group, as they are complete. Questions are made as they are asked."""
        groups = (((text, ids), self.questions(text, plan.groups[ids])) for text, ids in plan.wanted)
        for owner, rows in gather(self._asker, groups, Bar()):
            yield owner, rows if isinstance(rows, Unscored) else _joined(rows)

    def _whole(self, task: Task, groups: Sequence[_Ids], rows: Mapping[_Ids, Row | Unscored]) -> Simulation | Unscored:
        width = len(task.contexts[0].pieces)
        by_context: dict[int, Row] = {}
        for ids in groups:
            row = rows[ids]
            if isinstance(row, Unscored):
                return row
            by_context.update(zip(ids, row.reshape(len(ids), width), strict=True))
        return Simulation(np.stack([by_context[c.context] for c in task.contexts]), self.scale)

    def _plan(self, tasks: Sequence[Task]) -> _TaskPlan:
        plan = _TaskPlan()
        for position, task in enumerate(tasks):
            text = prompt_line(task.explanation)
            if not text or not task.contexts:
                plan.hopeless[position] = Unscored("no context to predict" if text else "empty explanation")
                continue
            for group in self.groups(list({c.context: c for c in task.contexts}.values())):
                ids = tuple(c.context for c in group)
                plan.groups[ids] = group
                plan.wanted.setdefault((text, ids), []).append(position)
                plan.of_task.setdefault(position, []).append(ids)
        return plan


class Asked(Asking):
    """Predicts 0 to 9 at every token. A simulator says what it asks about one context, and how an answer is read."""

    @abstractmethod
    def question(self, explanation: str, context: Context) -> Question[Row]:
        """What is asked about one context, given an explanation on one line; read to one value per token."""

    def questions(self, explanation: str, group: Group) -> Sequence[Question[Row]]:
        """One for each context."""
        return [self.question(explanation, context) for context in group]

    def by_index(self, explanation: str, context: Context) -> tuple[tuple[str, str], ...]:
        """The prompt, with the explanation and every token of the context as quoted data."""
        return self._prompt.render(explanation=quoted(explanation), tokens=[quoted(piece) for piece in context.pieces])
