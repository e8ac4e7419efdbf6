"""A finished run as the figures and the report read it: tables in, typed answers out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.adjusted_rows import AdjustedRow
from autointerp.compare.families import in_families
from autointerp.compare.scrambled import OVER_REPLICATES
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM
from autointerp.errors import BadInput
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.records import Pairing
from autointerp.rows import ALL, NO_BASELINE, READ_LITERALLY, TOKEN_TABLE, Cell, ComparisonRow
from autointerp.scrambled_rows import MeasureRow, ScrambledRow
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Study
from autointerp.study_file import study_of
from autointerp.tables import read_arrow, read_table
from autointerp.units.arms import baseline_of, feature_hooks, frozen_arms, is_feature, ordered, questions


@dataclass(frozen=True)
class Outcome:
    """The tables that say what a run found."""

    run_dir: Path
    study: Study
    units: pd.DataFrame
    scores: pd.DataFrame
    rows: tuple[ComparisonRow, ...]
    """The comparison table."""

    @cached_property
    def arms(self) -> list[str]:
        """Arms with a sampled unit, features first."""
        return ordered(self.scores["arm"])

    @property
    def feature_arms(self) -> list[str]:
        """The arms of SAE features: none, one, or one per SAE; without SAEs of which a part is frozen."""
        controls = frozen_arms(self.study)
        return [arm for arm in self.arms if is_feature(arm) and arm not in controls]

    def baseline_of(self, arm: str) -> str | None:
        """The arm that a feature arm is held against, of its own hook; None when the run has none."""
        return baseline_of(arm, self.arms, self.study.compare.baseline, feature_hooks(self.study))

    @property
    def baselines(self) -> list[str]:
        """The arms that the feature arms are held against, each once; without features, those that would be."""
        if not self.feature_arms:
            return [arm for arm in self.arms if arm.partition(":")[0] == self.study.compare.baseline]
        found = [self.baseline_of(arm) for arm in self.feature_arms]
        return list(dict.fromkeys(name for name in found if name is not None))

    @property
    def main_arms(self) -> list[str]:
        """Features and what they are held against; without either, all arms."""
        return list(dict.fromkeys([*self.feature_arms, *self.baselines])) or self.arms

    def against_baseline(self, cell: Cell, arm: str) -> ComparisonRow | None:
        """The row that holds a feature arm against its baseline."""
        baseline = self.baseline_of(arm)
        return None if baseline is None else self.row(cell, arm, baseline)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices that were scored, the headline's first."""
        return slices_of(self.study)

    @property
    def drawn_slices(self) -> tuple[str, ...]:
        """Those that figures have room for; all are in the report."""
        return self.slices[:2]

    @property
    def headline(self) -> Cell:
        """The cell of the question that was asked in advance: Pearson on top-and-random contexts, all units."""
        return headline_of(self.study)

    @property
    def has_lookup(self) -> bool:
        """Whether the token table was scored beside the explanations' simulator."""
        return self.study.simulate.lookup and self.study.simulate.method != LOOKUP

    @property
    def has_literal(self) -> bool:
        """Whether the explanations were also read literally, and not by the headline's simulator."""
        return self.headline.scorer != LITERAL and any(row.scorer == LITERAL for row in self.rows)

    @property
    def over_replicates(self) -> bool:
        """Whether the run's replicates, all of them, are held against scrambled subjects."""
        return self.study.compare.replicates > 1 and (self.run_dir / OVER_REPLICATES).is_file()

    @cached_property
    def _scrambled(self) -> tuple[ScrambledRow, ...]:
        path = self.run_dir / (OVER_REPLICATES if self.over_replicates else "scrambled.parquet")
        wanted = self.study.scrambled_subjects and path.is_file()  # one that is there may be of an earlier study
        return tuple(ScrambledRow(**row) for row in read_arrow(path).to_pylist()) if wanted else ()

    def against_scrambled(self, cell: Cell, arm: str) -> list[ScrambledRow]:
        """What holds a feature arm against scrambled subjects on this cell; nothing without any."""
        at = (cell.scorer, cell.metric, cell.slice, arm)
        here = cell.stratum == ALL
        return [row for row in self._scrambled if here and (row.scorer, row.metric, row.slice, row.arm) == at]

    @cached_property
    def measures(self) -> tuple[MeasureRow, ...]:
        """Every measure in the subject and in scrambled ones; none without any, and in a folder of before."""
        path = self.run_dir / "measures.parquet"
        wanted = self.study.scrambled_subjects and path.is_file()
        return tuple(MeasureRow(**row) for row in read_arrow(path).to_pylist()) if wanted else ()

    @cached_property
    def adjusted(self) -> tuple[AdjustedRow, ...]:
        """Differences at equal token determinism; none in a folder of before."""
        path = self.run_dir / "adjusted.parquet"
        if not path.is_file():
            return ()
        return tuple(AdjustedRow(**row) for row in map(_with_tuples, read_arrow(path).to_pylist()))

    @cached_property
    def _index(self) -> dict[tuple[Cell, str, str, str], ComparisonRow]:
        return {(row.cell, row.arm, row.baseline, row.pairing): row for row in self.rows}

    def row(
        self, cell: Cell, arm: str, baseline: str = NO_BASELINE, pairing: Pairing = Pairing.OWN
    ) -> ComparisonRow | None:
        """A row of the comparison; None when the run has none."""
        return self._index.get((cell, arm, baseline, pairing.value))

    @property
    def has_lists(self) -> bool:
        """Whether the explanation of any unit is a list of words, so that they have to be told from descriptions."""
        return any(self.of_kinds(arm)[0] for arm in self.arms)

    def of_kinds(self, arm: str) -> tuple[int, int]:
        """How many chosen explanations of an arm are lists, and how many descriptions; none of an earlier version's."""
        if "kind" not in self.scores:
            return 0, 0
        rows = self.scores[(self.scores["arm"] == arm) & (self.scores["scorer"] == self.headline.scorer)]
        kinds = rows.drop_duplicates(["unit", "replicate"])["kind"]
        return int((kinds == Pairing.LIST).sum()), int((kinds == Pairing.DESCRIPTION).sum())

    def descriptions_above_lists(self, arm: str) -> tuple[int, int]:
        """In how many units the best description, simulated, scores above the best list read literally; and of how
        many. Headline's metric and contexts; where a prediction is the same everywhere it counts as chance."""
        cell, scores = self.headline, self.scores
        rows = scores[(scores["metric"] == cell.metric) & (scores["slice"] == cell.slice) & (scores["arm"] == arm)]
        described = rows[(rows["scorer"] == cell.scorer) & (rows["pairing"] == Pairing.DESCRIPTION)]
        listed = rows[(rows["scorer"] == LITERAL) & (rows["pairing"] == Pairing.LIST)]
        both = pd.concat(map(answered, (described, listed)), axis=1, keys=["description", "list"]).dropna()
        return int((both["description"] > both["list"]).sum()), len(both)

    def contrasts(self, cell: Cell) -> Iterator[ComparisonRow]:
        """The rows of a cell that compare an arm with another, or with other explanations, in the table's order."""
        apart = (NO_BASELINE, READ_LITERALLY, TOKEN_TABLE)
        return (row for row in self.rows if row.cell == cell and row.baseline not in apart)


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def slices_of(study: Study) -> tuple[str, ...]:
    """The slices that a study scores, the headline's first."""
    first = [s for s in (TOP_AND_RANDOM, RANDOM_ONLY) if s in study.score.slices]
    return (*first, *(s for s in study.score.slices if s not in first))


def headline_of(study: Study) -> Cell:
    """The cell of the question that a study asks: Pearson, if it has it, on the first slice, all units."""
    metrics = study.score.metrics
    metric = "pearson" if "pearson" in metrics else metrics[0]
    return Cell(study.simulate.method, metric, slices_of(study)[0], ALL)


def values_answered(rows: pd.DataFrame) -> pd.Series:
    """A value per row; a prediction that is the same everywhere is an answer, that nothing fits, and gets chance."""
    constant = rows["reason"] == CONSTANT_PREDICTION.reason
    return rows["value"].where(~constant, rows["chance"])


def answered(rows: pd.DataFrame) -> pd.Series:
    """`values_answered` by unit, of those that have one."""
    return values_answered(rows).set_axis(pd.MultiIndex.from_frame(rows[["unit", "replicate"]])).dropna()


def read_outcome(run_dir: Path) -> Outcome:
    """Read a run's study and its tables units, scores and comparison; BadInput when one is missing or empty."""
    study = study_of(run_dir)
    scores = read_table(run_dir / "scores.parquet")
    if scores.empty:
        raise BadInput(f"{run_dir / 'scores.parquet'} has no rows", "sample at least one unit (units.features...)")
    if not study.score.metrics or not study.score.slices:
        raise BadInput("the study scores no metric or no slice", "name some in score.metrics and score.slices")
    rows = [ComparisonRow(**row) for row in read_arrow(run_dir / "comparison.parquet").to_pylist()]
    if not any(row.family for row in rows):  # a run of before: its p were adjusted over the whole table
        rows = in_families(rows, headline_of(study), questions(ordered(scores["arm"]), study))
    return Outcome(run_dir, study, read_table(run_dir / "units.parquet"), scores, tuple(rows))
