"""The stage: scores of units in, arms with their intervals and differences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.compare.adjusted import adjust
from autointerp.compare.families import in_families
from autointerp.compare.outcome import headline_of, values_answered
from autointerp.compare.strata import strata_in, stratum_of, within
from autointerp.judge.promoted_tokens import PromotedLiteral, PromotedTokens
from autointerp.metrics.differences import Contrast, contrast, paired_contrast
from autointerp.metrics.intervals import NONE, Resampling, interval, mean_interval
from autointerp.metrics.metrics import scale_of
from autointerp.metrics.power import equivalence_p, smallest_difference
from autointerp.progress import bar
from autointerp.records import Pairing, Status
from autointerp.rows import ALL, NO_BASELINE, OWN_SHUFFLED, READ_LITERALLY, TOKEN_TABLE, Cell, ComparisonRow
from autointerp.simulate.literal import LITERAL, LITERAL_WORDS
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Study
from autointerp.tables import read_table, write_table
from autointerp.units.arms import contrasts, feature_hooks, ordered, questions
from autointerp.units.scrambled import subject_of

_CELL = ["scorer", "metric", "slice"]
_UNIT = ["unit", "replicate"]
_ByUnit = Mapping[Hashable, float]


def compare(study: Study, run_dir: Path) -> None:
    """Write `comparison.parquet`, from the run's `units` and `scores` tables, and what `adjust` writes.

    Per scorer, metric, slice and stratum: every arm in both pairings; every feature arm against every other arm; every
    arm against its own shuffled pairing, its explanations read literally, and its token table. Holm's adjustment is
    within families (`compare/families.py`). Raises BadInput when a table is missing.
    """
    units = read_table(run_dir / "units.parquet", [*_UNIT, "arm", "single_token", "status"])
    scores = read_table(run_dir / "scores.parquet")
    strata = {
        (unit, replicate): stratum_of(share)
        for unit, replicate, share in zip(units["unit"], units["replicate"], units["single_token"], strict=True)
    }
    scores["stratum"] = [strata.get(key) for key in zip(scores["unit"], scores["replicate"], strict=True)]
    excluded = Counter[str](units.loc[units["status"] == Status.EXCLUDED.value, "arm"])
    arms = ordered(units["arm"])
    rows: list[ComparisonRow] = []
    groups = scores.groupby(_CELL, sort=False)
    compared = strata_in(scores)
    with bar("compare", len(groups) * len(compared), "tables") as progress:
        for (scorer, metric, slice_name), of_slice in groups:
            for stratum in compared if scorer != LITERAL_WORDS else (ALL,):
                chosen = within(of_slice, stratum)
                cell = Cell(str(scorer), str(metric), str(slice_name), stratum)
                chance = float(of_slice["chance"].mean())
                references = _references(scores, cell)
                rows += _Comparison(study, cell, chance, chosen, excluded, arms, references).rows()
                progress.advance()
    final = in_families(rows, headline_of(study), questions(arms, study)) if rows else []
    write_table("comparison", run_dir / "comparison.parquet", final)
    adjust(study, run_dir)


class _Comparison:
    """All rows of one cell."""

    def __init__(
        self,
        study: Study,
        cell: Cell,
        chance: float,
        scores: pd.DataFrame,
        excluded: Counter[str],
        arms: list[str],
        references: Mapping[str, pd.DataFrame],
    ) -> None:
        self._study, self._cell, self._chance = study, cell, chance
        self._excluded, self._arms, self._references = excluded, arms, references
        self._plan = Resampling(study.compare.resamples, study.compare.confidence)
        self._scores = {
            (str(arm), str(pairing)): rows for (arm, pairing), rows in scores.groupby(["arm", "pairing"], sort=False)
        }
        self._nothing = scores.iloc[:0]
        self._pairings = [p for p in Pairing if any(pairing == p.value for _, pairing in self._scores)]

    def rows(self) -> Iterator[ComparisonRow]:
        described = {(arm, p): self._describe(arm, p) for p in self._pairings for arm in self._arms}
        yield from described.values()
        if Pairing.OWN in self._pairings:
            for arm, baseline in contrasts(self._arms, self._study.compare.baseline, feature_hooks(self._study)):
                yield self._against(described[arm, Pairing.OWN], baseline)
        if Pairing.SHUFFLED in self._pairings:
            for arm in self._arms:
                yield self._against_shuffled(described[arm, Pairing.OWN])
        for reference, pairing, other in _WITHOUT_MODEL:
            if pairing in self._pairings and len(self._references[reference]):
                for arm in self._arms:
                    yield self._against_reference(described[arm, pairing], reference, pairing, other)

    def _of(self, arm: str, pairing: Pairing) -> pd.DataFrame:
        return self._scores.get((arm, pairing.value), self._nothing)

    def _rng(self, *parts: str) -> np.random.Generator:
        cell = self._cell
        return rng_of(self._study.seed, "compare", cell.scorer, cell.metric, cell.slice, cell.stratum, *parts)

    def _describe(self, arm: str, pairing: Pairing) -> ComparisonRow:
        rows = self._of(arm, pairing)
        ok = (rows["status"] == Status.OK.value).to_numpy(dtype=bool)
        chances = rows["chance"].to_numpy(dtype=np.float64)
        values, sampled, unscored = rows["value"].to_numpy(dtype=np.float64)[ok], len(rows), int((~ok).sum())
        scale = scale_of(self._cell.metric)
        mean = mean_interval(values, self._plan, self._rng("mean", arm, pairing), scale)
        median = interval(values, "median", self._plan, self._rng("median", arm, pairing))
        at_chance = float(values.sum() + chances[~ok].sum()) / sampled if sampled else None
        return ComparisonRow(
            scorer=self._cell.scorer,
            metric=self._cell.metric,
            slice=self._cell.slice,
            stratum=self._cell.stratum,
            pairing=pairing.value,
            arm=arm,
            baseline=NO_BASELINE,
            n=values.size,
            n_baseline=None,
            unscored=unscored,
            excluded=self._excluded[arm] if self._cell.stratum == ALL else None,
            coverage=values.size / sampled if sampled else None,
            reasons=_tally(Counter[str](rows["reason"][~ok])) if unscored else "",
            mean=mean.value,
            low=mean.low,
            high=mean.high,
            median=median.value,
            median_low=median.low,
            median_high=median.high,
            mean_unscored_at_chance=at_chance,
            chance=float(chances.mean()) if sampled else self._chance,
            note=_join(("mean", mean.note), ("median", median.note)),
            subject=subject_of(arm),
        )

    def _against(self, arm: ComparisonRow, baseline: str) -> ComparisonRow:
        first = _scored(self._of(arm.arm, Pairing.OWN))
        second = _scored(self._of(baseline, Pairing.OWN))
        found = contrast(first, second, self._plan, self._rng("contrast", arm.arm, baseline))
        return _with(arm, baseline, (first.size, second.size), found, self._study.compare.margin)

    def _against_shuffled(self, arm: ComparisonRow) -> ComparisonRow:
        own, shuffled = _by_unit(self._of(arm.arm, Pairing.OWN)), _by_unit(self._of(arm.arm, Pairing.SHUFFLED))
        return self._paired(arm, OWN_SHUFFLED, own, shuffled)

    def _against_reference(self, arm: ComparisonRow, reference: str, pairing: Pairing, other: Pairing) -> ComparisonRow:
        """A pairing of the simulator against what needs no model, of the same pairing or not."""
        found = self._references[reference]
        found = found[(found["arm"] == arm.arm) & (found["pairing"] == other.value)]
        own, needing_none = (
            _by_unit(rows.assign(value=values_answered(rows))) for rows in (self._of(arm.arm, pairing), found)
        )
        return self._paired(arm, reference, own, needing_none)

    def _paired(self, arm: ComparisonRow, baseline: str, own: _ByUnit, other: _ByUnit) -> ComparisonRow:
        both = [unit for unit in own if unit in other]
        first, second = (np.array([scores[unit] for unit in both], dtype=np.float64) for scores in (own, other))
        found = paired_contrast(
            first,
            second,
            self._plan,
            self._rng(baseline, arm.arm, *(() if arm.pairing == Pairing.OWN else (arm.pairing,))),
        )
        return _with(arm, baseline, (first.size, second.size), found, self._study.compare.margin)


_WITHOUT_MODEL = (
    (READ_LITERALLY, Pairing.OWN, Pairing.OWN),
    (READ_LITERALLY, Pairing.DESCRIPTION, Pairing.LIST),
    (TOKEN_TABLE, Pairing.OWN, Pairing.OWN),
)
"""What needs no model, the pairing that is held against it, and its own."""


def _references(scores: pd.DataFrame, cell: Cell) -> dict[str, pd.DataFrame]:
    """What the unit's own texts score literally, and the token table; nothing for a scorer that is one of these."""
    apart = scores["pairing"] != Pairing.SHUFFLED.value
    at = apart & (scores["metric"] == cell.metric) & (scores["slice"] == cell.slice)
    if cell.scorer in (LITERAL, LITERAL_WORDS, LOOKUP):
        at &= False
    literal = PromotedLiteral.name if cell.scorer == PromotedTokens.name else LITERAL
    scorers = {READ_LITERALLY: literal, TOKEN_TABLE: LOOKUP}
    return {name: within(scores[at & (scores["scorer"] == scorer)], cell.stratum) for name, scorer in scorers.items()}


def _scored(rows: pd.DataFrame) -> Float[np.ndarray, " unit"]:
    return rows["value"].to_numpy(dtype=np.float64)[(rows["status"] == Status.OK.value).to_numpy(dtype=bool)]


def _by_unit(rows: pd.DataFrame) -> _ByUnit:
    """The scores that there are; plain Python: an index of pandas costs more than the few units of an arm."""
    units = zip(rows["unit"], rows["replicate"], strict=True)
    return {unit: value for unit, value in zip(units, rows["value"].tolist(), strict=True) if value == value}


def _with(arm: ComparisonRow, baseline: str, sizes: tuple[int, int], found: Contrast, margin: float) -> ComparisonRow:
    value, error, freedom = found.difference.value, found.error, found.freedom
    equivalent = smallest = None
    if value is not None and error is not None and freedom is not None:
        equivalent, smallest = equivalence_p(value, error, freedom, margin), smallest_difference(error, freedom)
    return replace(
        arm,
        baseline=baseline,
        n=sizes[0],
        n_baseline=sizes[1],
        difference=found.difference.value,
        difference_low=found.difference.low,
        difference_high=found.difference.high,
        superiority=found.above.value,
        p=found.p,
        note=found.difference.note,
        p_equivalent=equivalent,
        smallest=smallest,
        superiority_low=found.above.low,
        superiority_high=found.above.high,
        median_difference=found.medians.value,
        median_difference_low=found.medians.low,
        median_difference_high=found.medians.high,
    )


def _tally(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason}: {reasons[reason]}" for reason in sorted(reasons, key=lambda r: (-reasons[r], r)))


def _join(*notes: tuple[str, str]) -> str:
    distinct = {note for _, note in notes if note}
    if len(distinct) == 1 and (all(note for _, note in notes) or distinct == {NONE}):
        return distinct.pop()
    return "; ".join(f"{name}: {note}" for name, note in notes if note)
