"""Ranking: every candidate's correlation with the true activations on the ranking contexts, by the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.metrics.metrics import score_one
from autointerp.progress import bar
from autointerp.records import Candidate, Context, Exemplar, Unscored
from autointerp.simulate.interface import Simulator, Task

METRIC = "pearson"
NO_EVIDENCE = Unscored("no evidence to rank it on")


@dataclass(frozen=True)
class Ranked:
    """The candidates of one unit, and the evidence that ranks them."""

    unit: str
    candidates: Sequence[Candidate | Unscored]
    exemplars: Sequence[Exemplar]
    """Contexts of the evidence split that the explainer was not shown."""


def tasks_of(units: Sequence[Ranked], contexts: Mapping[int, Context]) -> tuple[list[Task], list[tuple[int, int]]]:
    """What to simulate, and for each task the position of its unit and of its candidate."""
    tasks: list[Task] = []
    places: list[tuple[int, int]] = []
    for row, unit in enumerate(units):
        shown = tuple(contexts[e.context] for e in unit.exemplars)
        for column, candidate in enumerate(unit.candidates):
            if isinstance(candidate, Candidate) and shown:
                places.append((row, column))
                tasks.append(Task(candidate.text, shown))
    return tasks, places


def rank(
    simulator: Simulator, units: Sequence[Ranked], contexts: Mapping[int, Context]
) -> list[list[float | Unscored]]:
    """One score per candidate of each unit, in order: Pearson over pooled tokens, or why there is none.

    The tasks of all units go to the simulator together; what it computes or asks is in the ledger, so that an
    interrupted ranking does not begin anew.
    """
    scores: list[list[float | Unscored]] = [
        [c if isinstance(c, Unscored) else NO_EVIDENCE for c in u.candidates] for u in units
    ]
    tasks, places = tasks_of(units, contexts)
    truths = [np.concatenate([e.activations for e in u.exemplars]) if u.exemplars else None for u in units]
    with bar("rank candidates", len(tasks), "candidates") as progress:
        for number, result in simulator.simulate(tasks, progress):
            row, column = places[number]
            truth = truths[row]
            if isinstance(result, Unscored):
                scores[row][column] = result
            elif truth is not None:
                scores[row][column] = score_one(METRIC, truth, result.predicted.ravel())
    return scores
