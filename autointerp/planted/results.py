"""The folder of a benchmark: what is kept in it, and how its tables are written and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from autointerp.artifacts import read_json, write_json
from autointerp.benchmark_rows import BenchmarkRow, PlantedScore, RecoveryRow, SanityRow
from autointerp.errors import BadInput
from autointerp.metrics.intervals import Resampling
from autointerp.planted.statistics import Calibration, Scores, calibration_of
from autointerp.tables import read_table, write_table

TABLE, SCORES, SANITY, RECOVERY, ABOUT, PAGE, PICTURE = (
    "benchmark.parquet", "scores.parquet", "sanity.parquet", "recovery.parquet", "about.json", "benchmark.md",
    "benchmark",
)  # fmt: skip
"""Files of the folder; the picture's name is without suffix, and it lies in `figures/`."""


@dataclass(frozen=True)
class About:
    """What the tables don't say."""

    version: str
    """Of autointerp."""
    seed: int
    resamples: int
    confidence: float
    corpus: str
    """The study's `corpus.source`."""
    contexts: Mapping[str, int]
    """Contexts by split."""
    tokenizer: str
    """Whose tokens the units are active on: identity of the subject."""
    models: Mapping[str, str]
    """What each method asks or runs, by method; '' for none."""
    left_out: Mapping[str, int]
    """Planted units that the corpus is too poor for: reason -> how many."""
    not_run: Mapping[str, str]
    """Methods without a result: name -> why."""
    tokens: int = 64
    """Of a context."""
    held_out: tuple[int, int] = (5, 5)
    """Top contexts and blindly drawn ones that a simulator is scored on, per unit."""

    @property
    def left_by_reason(self) -> dict[str, list[str]]:
        """Methods without a result, by why."""
        found: dict[str, list[str]] = {}
        for method, reason in self.not_run.items():
            found.setdefault(reason, []).append(method)
        return found

    @property
    def plan(self) -> Resampling:
        """How the intervals were made."""
        return Resampling(self.resamples, self.confidence)


@dataclass(frozen=True)
class Results:
    """A benchmark's tables."""

    about: About
    rows: tuple[BenchmarkRow, ...]
    scores: tuple[Scores, ...]
    """One per method."""
    sanity: tuple[SanityRow, ...] = ()
    """Checks of the scores themselves."""
    recovery: tuple[RecoveryRow, ...] = ()
    """The explainer's end."""

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, str, str], BenchmarkRow]:
        return {(row.method, row.kind, row.form, row.wrong, row.half): row for row in self.rows}

    def row(self, method: str, kind: str, form: str, wrong: str, half: str) -> BenchmarkRow | None:
        """A line of the table; None when there is no such unit."""
        return self._index.get((method, kind, form, wrong, half))

    def calibrations(self) -> dict[tuple[str, str], Calibration]:
        """By method and form, of those that read explanations."""
        plan, seed = self.about.plan, self.about.seed
        return {
            (found.method, form): calibration_of(found, form, plan, seed)
            for found in self.scores
            if found.explained
            for form in found.forms
        }


def is_benchmark(folder: Path) -> bool:
    """Whether `folder` holds a benchmark, and not a run."""
    return (folder / TABLE).is_file()


def grouped(scores: Sequence[PlantedScore]) -> list[Scores]:
    """The scores of each method, in the order of their first one."""
    names = dict.fromkeys(score.method for score in scores)
    return [Scores([score for score in scores if score.method == name]) for name in names]


def write_results(
    folder: Path,
    about: About,
    scores: Sequence[PlantedScore],
    rows: Sequence[BenchmarkRow],
    sanity: Sequence[SanityRow] = (),
    recovery: Sequence[RecoveryRow] = (),
) -> None:
    """Write the tables, each whole or not at all."""
    write_table("benchmark_recovery", folder / RECOVERY, recovery)
    write_table("benchmark_sanity", folder / SANITY, sanity)
    write_table("benchmark_scores", folder / SCORES, scores)
    write_json(folder / ABOUT, TypeAdapter(About).dump_python(about, mode="json"))
    write_table("benchmark", folder / TABLE, rows)


def read_results(folder: Path) -> Results:
    """Read them back; BadInput when one is missing or damaged."""
    try:
        about = TypeAdapter(About).validate_python(read_json(folder / ABOUT))
    except ValidationError as error:
        raise BadInput(f"{folder / ABOUT} is not of this version", "run autointerp benchmark again") from error
    scores = [PlantedScore(**record) for record in _records(read_table(folder / SCORES))]
    rows = [BenchmarkRow(**record) for record in _records(read_table(folder / TABLE))]
    sanity = [SanityRow(**record) for record in _records(read_table(folder / SANITY))]
    recovery = [RecoveryRow(**record) for record in _records(read_table(folder / RECOVERY))]
    return Results(about, tuple(rows), tuple(grouped(scores)), tuple(sanity), tuple(recovery))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is null is None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in record.items()} for record in plain.to_dict("records")]
