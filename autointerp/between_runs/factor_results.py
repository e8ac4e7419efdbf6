"""The folder in which several redrawn runs are put together: what is kept in it, and what is read out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from autointerp import __version__
from autointerp.artifacts import read_json, write_json, write_text
from autointerp.between_runs.by_factor import ALL_FACTORS, UNITS, factor_rows
from autointerp.between_runs.redrawn import ReadAs, RedrawnRun, caveats
from autointerp.errors import BadInput
from autointerp.records import Pairing
from autointerp.rows import NO_BASELINE
from autointerp.study import Study
from autointerp.study_file import dump_study, load_study
from autointerp.tables import read_arrow, write_table
from autointerp.units.arms import ordered
from autointerp.variance_rows import FactorRow

TABLE, ABOUT, STUDY, PAGE, PICTURE = (
    "variance_sources.parquet", "about.json", "study.toml", "variance.md", "variance-by-factor",
)  # fmt: skip
"""Files of the folder; the picture's name is without suffix, and it lies in `figures/`."""


@dataclass(frozen=True)
class RunOfFactor:
    """A run that was put in."""

    run: str
    factor: str
    replicates: int
    scores: str
    """Hash of its table of scores."""


@dataclass(frozen=True)
class PutTogether:
    """What the table doesn't say."""

    version: str
    """Of autointerp."""
    runs: tuple[RunOfFactor, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class FactorResults:
    """What several runs found, each of which redraws one factor."""

    study: Study
    """The one that all share, without what they redraw."""
    put_together: PutTogether
    rows: tuple[FactorRow, ...]

    @property
    def factors(self) -> list[str]:
        """Those that were drawn anew, in the order of the data."""
        return [run.factor for run in self.put_together.runs]

    @property
    def in_sums(self) -> list[str]:
        """Without the draw of units, which moves no single unit's score."""
        return [factor for factor in self.factors if factor != UNITS]

    @property
    def arms(self) -> list[str]:
        """Features and what they are held against."""
        return ordered(row.arm for row in self.rows)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Arms that are held against a baseline."""
        return list(dict.fromkeys((row.arm, row.baseline) for row in self.rows if row.baseline))

    @property
    def ways(self) -> list[ReadAs]:
        """How units were scored, the simulator first."""
        return [ReadAs(*key) for key in dict.fromkeys((row.scorer, Pairing(row.pairing)) for row in self.rows)]

    @cached_property
    def _index(self) -> dict[tuple[str, str, ReadAs, str, str], FactorRow]:
        return {
            (row.factor, row.component, ReadAs(row.scorer, Pairing(row.pairing)), row.arm, row.baseline): row
            for row in self.rows
        }

    def row(
        self, component: str, way: ReadAs, arm: str, baseline: str = NO_BASELINE, factor: str = ALL_FACTORS
    ) -> FactorRow | None:
        """A row of the table; None where there is none, or it has no value."""
        found = self._index.get((factor, component, way, arm, baseline))
        return None if found is None or found.value is None else found


def is_by_factor(folder: Path) -> bool:
    """Whether `folder` holds several runs put together, and not a run."""
    return (folder / TABLE).is_file()


def write_results(runs: Sequence[RedrawnRun], folder: Path) -> FactorResults:
    """Put runs together, and write table, study and what they are into `folder`, each whole or not at all."""
    study = runs[0].side.study
    compare = study.compare.model_copy(update={"replicates": 1, "redraw": ()})
    of_runs = [
        RunOfFactor(run.side.label, run.factor, run.side.replicates, run.side.made("scores.parquet")[:12])
        for run in runs
    ]
    put_together = PutTogether(__version__, tuple(of_runs), tuple(caveats(runs)))
    write_text(folder / STUDY, dump_study(study.model_copy(update={"compare": compare})))
    write_json(folder / ABOUT, asdict(put_together))
    write_table("variance_sources", folder / TABLE, factor_rows(runs))
    return read_results(folder)


def read_results(folder: Path) -> FactorResults:
    """Read them back; BadInput where a file is missing or damaged."""
    try:
        put_together = TypeAdapter(PutTogether).validate_python(read_json(folder / ABOUT))
    except ValidationError as error:
        raise BadInput(f"{folder / ABOUT} is not of this version", "run autointerp variance again") from error
    rows = [FactorRow(**row) for row in read_arrow(folder / TABLE).to_pylist()]
    return FactorResults(load_study(folder / STUDY), put_together, tuple(rows))
