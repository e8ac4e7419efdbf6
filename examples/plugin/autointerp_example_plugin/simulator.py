"""`named-words`: predicts 9 (of 0 to 9) where a word that the explanation names stands, and 0 elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autointerp.explain.texts import word_of
from autointerp.llm.capabilities import Needs
from autointerp.progress import Bar
from autointerp.records import Scale, Simulation, Unscored
from autointerp.simulate.interface import Task
from autointerp.simulate.registry import Parts
from autointerp_example_plugin.explainer import AFTER


class NamedWords:
    """Takes every word of the explanation for one that the unit is active on, or, after "a token after", follows."""

    name = "named-words"
    scale = Scale.ZERO_TO_NINE

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        """One row per context of each task; Unscored for an empty explanation."""
        for place, task in enumerate(tasks):
            progress.advance()
            named = {word.strip(",.;:'\"()") for word in task.explanation.removeprefix(AFTER).split()} - {""}
            if not named:
                yield place, Unscored("the explanation names no word")
                continue
            rows = [9 * np.array([word_of(p) in named for p in c.pieces], dtype=np.float32) for c in task.contexts]
            if task.explanation.startswith(AFTER):
                rows = [np.concatenate([np.zeros_like(row[:1]), row[:-1]]) for row in rows]
            yield place, Simulation(np.stack(rows), self.scale)


def build(parts: Parts) -> NamedWords:
    """What the entry point names: from what autointerp has to offer to the simulator, which needs none of it."""
    del parts
    return NamedWords()


build.needs = Needs(nothing=True)  # type: ignore[attr-defined]  # so no language model is opened for it
