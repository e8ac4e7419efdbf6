"""The stage: features against neurons at equal token determinism, by units' covariates from evidence alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autointerp.adjusted_rows import AdjustedRow
from autointerp.artifacts import rng_of
from autointerp.compare.covariates import COVARIATES, covariates_of
from autointerp.compare.outcome import headline_of, slices_of
from autointerp.metrics.adjustment import (
    NO_SUPPORT,
    Matching,
    MeasuredArm,
    adjusted,
    corrected,
    matched,
)
from autointerp.metrics.differences import contrast
from autointerp.metrics.intervals import Interval, Resampling
from autointerp.records import Pairing, Status
from autointerp.rows import Cell
from autointerp.study import Study
from autointerp.tables import read_table, write_table
from autointerp.units.arms import baselines_of, feature_hooks, ordered
from autointerp.units.interface import SPARSE

RAW, ADJUSTED, MATCHED, CORRECTED = "raw", "adjusted", "matched", "corrected"
_UNIT = ["unit", "replicate"]


def adjust(study: Study, run_dir: Path) -> None:
    """Write `covariates.parquet` and `adjusted.parquet`, from the tables units, evidence, contexts and scores.

    Of the headline's scorer and metric, on every slice: each feature arm against its baseline, and against the baseline
    at the features' density where there is one; with each covariate alone and all together held equal. Covariates in
    which the arms hardly meet are left out of the latter and named. Raises BadInput when a table is missing.
    """
    covariates = covariates_of(run_dir)
    write_table("covariates", run_dir / "covariates.parquet", covariates)
    scores = read_table(run_dir / "scores.parquet")
    headline = headline_of(study)
    scores = scores[
        (scores["pairing"] == Pairing.OWN.value)
        & (scores["scorer"] == headline.scorer)
        & (scores["metric"] == headline.metric)
        & (scores["status"] == Status.OK.value)
    ]
    known = pd.DataFrame([vars(row) for row in covariates if row.status == Status.OK])
    known = known if len(known) else pd.DataFrame(columns=[*_UNIT, *COVARIATES])
    both = scores.merge(known.drop(columns=["arm", "status", "reason"], errors="ignore"), on=_UNIT, how="inner")
    rows: list[AdjustedRow] = []
    for slice_name in slices_of(study):
        cell = Cell(headline.scorer, headline.metric, slice_name)
        of_slice = both[both["slice"] == slice_name]
        for arm, baseline in held_against(study, scores["arm"].unique().tolist()):
            rows += _Adjusting(study, cell, arm, baseline, of_slice).rows()
    write_table("adjusted", run_dir / "adjusted.parquet", rows)


def held_against(study: Study, arms: list[str]) -> Iterator[tuple[str, str]]:
    """Each feature arm with its baseline, and with that at the features' density."""
    names = ordered(arms)
    for arm, baseline in baselines_of(names, study.compare.baseline, feature_hooks(study)).items():
        if baseline is not None:
            kind, colon, hook = baseline.partition(":")
            yield arm, baseline
            if f"{kind}{SPARSE}{colon}{hook}" in names:
                yield arm, f"{kind}{SPARSE}{colon}{hook}"


@dataclass(frozen=True)
class _Adjusting:
    """All rows of one cell and pair of arms."""

    study: Study
    cell: Cell
    arm: str
    baseline: str
    scores: pd.DataFrame

    def rows(self) -> Iterator[AdjustedRow]:
        first, second = self._arms(COVARIATES)
        raw = contrast(first.scores, second.scores, self._plan, self._rng(RAW)).difference
        yield self._row(RAW, (), raw)
        if not first.scores.size or not second.scores.size:
            return
        alone = {name: self._matched((name,)) for name in COVARIATES}
        for name, found in alone.items():
            yield from self._estimates((name,), found, ())
        held = tuple(name for name, found in alone.items() if found.difference.note != NO_SUPPORT)
        if len(held) > 1:
            yield from self._estimates(held, self._matched(held), tuple(n for n in COVARIATES if n not in held))

    def _matched(self, names: tuple[str, ...]) -> Matching:
        return matched(*self._arms(names), self._plan, self._rng(MATCHED, *names))

    def _estimates(self, names: tuple[str, ...], found: Matching, left_out: tuple[str, ...]) -> Iterator[AdjustedRow]:
        matching = {
            "pairs": found.pairs, "share_matched": found.share, "before": found.before, "after": found.after,
            "left_out": left_out,
        }  # fmt: skip
        regression = without_noise = found.difference
        reliability: tuple[float, ...] = ()
        if found.difference.note != NO_SUPPORT:
            arms = self._arms(names)
            regression = adjusted(*arms, self.study.compare.confidence)
            without_noise, reliability = corrected(*arms, self._plan, self._rng(CORRECTED, *names))
        yield self._row(ADJUSTED, names, regression, **matching)
        yield self._row(MATCHED, names, found.difference, **matching)
        yield self._row(CORRECTED, names, without_noise, reliability=reliability, **matching)

    def _arms(self, names: tuple[str, ...]) -> tuple[MeasuredArm, MeasuredArm]:
        return self._of(self.arm, names), self._of(self.baseline, names)

    def _of(self, arm: str, names: tuple[str, ...]) -> MeasuredArm:
        rows = self.scores[self.scores["arm"] == arm]
        values = rows[list(names)].to_numpy(dtype=np.float64)
        halves = np.stack([values, values])
        for place, name in enumerate(names):
            if len(rows) and f"{name}_halves" in rows:
                halves[:, :, place] = np.array(rows[f"{name}_halves"].tolist(), dtype=np.float64).T
        return MeasuredArm(rows["value"].to_numpy(dtype=np.float64), values, halves)

    @property
    def _plan(self) -> Resampling:
        return Resampling(self.study.compare.resamples, self.study.compare.confidence)

    def _rng(self, *parts: str) -> np.random.Generator:
        return rng_of(self.study.seed, "adjusted", self.cell.slice, self.arm, self.baseline, *parts)

    def _row(self, estimate: str, names: tuple[str, ...], found: Interval, **more: Any) -> AdjustedRow:
        counts = self.scores["arm"].value_counts()
        cell = self.cell
        return AdjustedRow(
            scorer=cell.scorer,
            metric=cell.metric,
            slice=cell.slice,
            arm=self.arm,
            baseline=self.baseline,
            estimate=estimate,
            covariates=names,
            difference=found.value,
            low=found.low,
            high=found.high,
            n=int(counts.get(self.arm, 0)),
            n_baseline=int(counts.get(self.baseline, 0)),
            note=found.note,
            **more,
        )
