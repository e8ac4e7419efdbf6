"""Ranking: every candidate's correlation with the true activations on the ranking contexts, by the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import hash_value, read_json, write_json
from autointerp.progress import Bar, bar
from autointerp.records import Candidate, Context, Exemplar, Unscored
from autointerp.score.metrics import correlate
from autointerp.simulate.base import Simulator, Task

METRIC = "pearson"
_TWINS_PER_CHUNK = 16


@dataclass(frozen=True)
class Ranked:
    """The candidates of one unit, and the evidence that ranks them."""

    unit: str
    twin: str
    """Units with the same twin name are likely to share candidates; they are simulated together."""
    candidates: Sequence[Candidate | Unscored]
    exemplars: Sequence[Exemplar]
    """Contexts of the evidence split that the explainer was not shown."""


class Ranker:
    """Scores candidates chunk by chunk; a finished chunk is kept on disk, so that it is never computed again."""

    def __init__(self, simulator: Simulator, folder: Path, basis: Any) -> None:
        """`basis` is all that a score depends on besides the unit and the text, JSON-like."""
        self._simulator, self._folder, self._basis = simulator, folder, basis

    def rank(self, units: Sequence[Ranked], contexts: Mapping[int, Context]) -> list[list[float | Unscored]]:
        """One score per candidate of each unit, in order: Pearson over pooled tokens, or why there is none."""
        by_twin: dict[str, list[int]] = {}
        for place, unit in enumerate(units):
            by_twin.setdefault(unit.twin, []).append(place)
        groups = list(by_twin.values())
        scores: dict[int, list[float | Unscored]] = {}
        with bar("rank candidates", sum(len(u.candidates) for u in units), "candidates") as progress:
            for start in range(0, len(groups), _TWINS_PER_CHUNK):
                chunk = [place for group in groups[start : start + _TWINS_PER_CHUNK] for place in group]
                found = self._chunk([units[place] for place in chunk], contexts, progress)
                scores |= dict(zip(chunk, found, strict=True))
        return [scores[place] for place in range(len(units))]

    def _chunk(
        self, units: Sequence[Ranked], contexts: Mapping[int, Context], progress: Bar
    ) -> list[list[float | Unscored]]:
        described = [[u.unit, [_told(c) for c in u.candidates], [e.context for e in u.exemplars]] for u in units]
        path = self._folder / f"{hash_value([self._basis, described])[:24]}.json"
        if path.is_file():
            progress.advance(sum(len(u.candidates) for u in units))
            return [[Unscored(s) if isinstance(s, str) else float(s) for s in row] for row in read_json(path)]
        scores = self._score(units, contexts, progress)
        write_json(path, [[s.reason if isinstance(s, Unscored) else s for s in row] for row in scores])
        return scores

    def _score(
        self, units: Sequence[Ranked], contexts: Mapping[int, Context], progress: Bar
    ) -> list[list[float | Unscored]]:
        scores: list[list[float | Unscored]] = [[_failure(c) for c in u.candidates] for u in units]
        places: list[tuple[int, int]] = []
        tasks: list[Task] = []
        for row, unit in enumerate(units):
            shown = tuple(contexts[e.context] for e in unit.exemplars)
            for column, candidate in enumerate(unit.candidates):
                if isinstance(candidate, Candidate) and shown:
                    places.append((row, column))
                    tasks.append(Task(candidate.text, shown))
                else:
                    progress.advance()
        truths = [np.concatenate([e.activations for e in u.exemplars]) if u.exemplars else None for u in units]
        for number, result in self._simulator.simulate(tasks, progress):
            row, column = places[number]
            truth = truths[row]
            if isinstance(result, Unscored):
                scores[row][column] = result
            elif truth is not None:
                scores[row][column] = correlate(METRIC, truth, result.predicted.ravel())
        return scores


def _told(candidate: Candidate | Unscored) -> str:
    return candidate.text if isinstance(candidate, Candidate) else f"({candidate.reason})"


def _failure(candidate: Candidate | Unscored) -> Unscored:
    return candidate if isinstance(candidate, Unscored) else Unscored("no evidence to rank it on")
