"""Differences of two runs: of an arm's scores, of two arms' difference, of what is added to a literal reading.

Each is a signed sum of means over units: one mean of differences where units are the same, two where they are not, and
as many again for a difference of differences. Over units it has the intervals and tests of a run's own comparison; with
replicates it is taken in each, replicate against replicate, and has a t interval over these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.comparable import Ground, same_units
from autointerp.between_runs.sides import Side
from autointerp.compare.families import adjusted
from autointerp.compare.outcome import answered
from autointerp.compare.replicates import MEAN, read_variance, stays
from autointerp.metrics.differences import Contrast, contrast, paired_contrast, weighted_sum
from autointerp.metrics.intervals import FEW, NONE, Interval, Resampling
from autointerp.metrics.power import equivalence_p, smallest_difference
from autointerp.metrics.variance import UnitSpread, crossed_spread, error_with_units, with_units
from autointerp.progress import Bar
from autointerp.records import Pairing, Status
from autointerp.rows import NO_BASELINE, PRIMARY, READ_LITERALLY, SECONDARY, Cell
from autointerp.simulate.literal import LITERAL
from autointerp.units.arms import is_feature
from autointerp.units.interface import base_id

_ROUNDING = 1e-6
"""Scores of one unit that are nearer than this are equal: in another batch a model's sums have other last bits."""
Scores = list[pd.Series]
"""Per replicate the scores of an arm by unit, without its orientation."""


@dataclass(frozen=True)
class _Term:
    """A mean over units, with its sign in the sum; of differences where `base` is there too."""

    sign: int
    run: Scores
    base: Scores | None
    stays: bool
    """Whether its units are the same in every replicate."""

    def values(self, replicate: int) -> pd.Series:
        """By unit, in one replicate."""
        if self.base is None:
            return self.run[replicate]
        each = (self.run[replicate] - self.base[replicate]).dropna()
        return each.where(each.abs() > _ROUNDING, 0.0)


def estimated(base: Side, other: Side, ground: Ground, progress: Bar) -> Iterator[BetweenRunsRow]:
    """Every row of two runs, without what is adjusted over all of them: by metric, slice and arm."""
    reasons = {arm: same_units(base, other, arm, ground.same_evidence) for arm in ground.arms}
    for metric in ground.metrics:
        for slice_name in ground.slices:
            held = _RunCell(base, other, metric, slice_name, reasons)
            for arm in ground.arms:
                for baseline in held.baselines(arm, ground.arms):
                    yield held.row(arm, baseline)
            progress.advance()


class _RunCell:
    """One metric and slice of two runs."""

    def __init__(self, base: Side, other: Side, metric: str, slice_name: str, unpaired: dict[str, str]) -> None:
        self._base, self._other, self._sides, self._unpaired = base, other, (base, other), unpaired
        cells = [replace(side.outcome.headline, metric=metric, slice=slice_name) for side in (base, other)]
        self._base_cell, self._cell = cells
        compare = base.study.compare
        self._plan, self._margin = Resampling(compare.resamples, compare.confidence), compare.margin

    def baselines(self, arm: str, arms: Sequence[str]) -> Iterator[str]:
        """What is taken off the arm's scores in either run before these are compared: nothing first."""
        yield NO_BASELINE
        first, second = (side.outcome.baseline_of(arm) if is_feature(arm) else None for side in self._sides)
        if first is not None and first == second != arm and first in arms:
            yield first
        cells = zip(self._sides, (self._base_cell, self._cell), strict=True)
        if all(side.outcome.row(cell, arm, READ_LITERALLY) is not None for side, cell in cells):
            yield READ_LITERALLY

    def row(self, arm: str, baseline: str) -> BetweenRunsRow:
        """The other run's number minus the base's: of the arm, of its difference from `baseline`."""
        terms = self._terms(arm, baseline, 1)
        if baseline not in (NO_BASELINE, READ_LITERALLY):
            terms += self._terms(baseline, NO_BASELINE, -1)
        found = self._over_replicates(terms) if self._base.replicates > 1 else self._over_units(terms, arm, baseline)
        value, error, freedom = found.difference.value, found.error, found.freedom
        equivalent = smallest = None
        if value is not None and error is not None and freedom is not None:
            equivalent = equivalence_p(value, error, freedom, self._margin)
            smallest = smallest_difference(error, freedom)
        own = self._mean(self._other, self._cell, arm, baseline)
        theirs = self._mean(self._base, self._base_cell, arm, baseline)
        units = terms[0].values(0).index if terms[0].base is not None else None
        return BetweenRunsRow(
            run=self._other.label, base=self._base.label,
            scorer=self._cell.scorer, base_scorer=self._base_cell.scorer,
            metric=self._cell.metric, slice=self._cell.slice, arm=arm, baseline=baseline,
            mean=own[0].value, low=own[0].low, high=own[0].high, n=own[1],
            base_mean=theirs[0].value, base_low=theirs[0].low, base_high=theirs[0].high, base_n=theirs[1],
            paired=None if units is None else len(units),
            unpaired=self._unpaired[arm],
            same_explanations=None if units is None else self._same_explanations(units),
            difference=value, difference_low=found.difference.low, difference_high=found.difference.high,
            p=found.p, family="", p_holm=None,
            p_equivalent=equivalent, p_equivalent_holm=None, smallest=smallest,
            superiority=found.above.value, superiority_low=found.above.low, superiority_high=found.above.high,
            replicates=self._base.replicates, note=found.difference.note,
        )  # fmt: skip

    def _terms(self, arm: str, baseline: str, sign: int) -> list[_Term]:
        run = self._of(self._other, self._cell, arm, baseline)
        base = self._of(self._base, self._base_cell, arm, baseline)
        of_base, of_run = (stays(side.study, arm) for side in self._sides)
        if self._unpaired[arm]:
            return [_Term(sign, run, None, of_run), _Term(-sign, base, None, of_base)]
        return [_Term(sign, run, base, of_run and of_base)]

    def _of(self, side: Side, cell: Cell, arm: str, baseline: str) -> Scores:
        """Scores of an arm, or those less a literal reading of the same explanations, as a run's own comparison has
        them: there a prediction that is the same everywhere is an answer, and gets chance."""
        found = []
        for scores in side.scores:
            if baseline == READ_LITERALLY:
                own, literally = (
                    answered(_rows(scores, replace(cell, scorer=scorer), arm)).droplevel("replicate")
                    for scorer in (cell.scorer, LITERAL)
                )
                values = (own - literally).dropna()
            else:
                rows = _rows(scores, cell, arm)
                values = rows[rows["status"] == Status.OK.value].set_index("unit")["value"]
            found.append(values.rename(index=base_id))
        return found

    def _over_units(self, terms: Sequence[_Term], arm: str, baseline: str) -> Contrast:
        rng = rng_of(self._base.study.seed, "between runs", self._cell.metric, self._cell.slice, arm, baseline)
        first = terms[0]
        if len(terms) == 1:
            return self._of_same_units(first.values(0).to_numpy(dtype=np.float64), rng)
        parts = [(float(term.sign), term.values(0).to_numpy(dtype=np.float64)) for term in terms]
        if len(terms) == 2 and first.base is None:
            return contrast(parts[0][1], parts[1][1], self._plan, rng)
        return weighted_sum(parts, self._plan.confidence)

    def _of_same_units(self, each: Float[np.ndarray, " unit"], rng: np.random.Generator) -> Contrast:
        """Of differences unit by unit. Where under ten of them are not 0 their interval is Student's t: resamples in
        which none of these is drawn have next to no spread, and would put the bootstrap's ends anywhere."""
        found = paired_contrast(each, np.zeros_like(each), self._plan, rng)
        differ = int(np.count_nonzero(each))
        if not differ and each.size > 1:
            return replace(found, p=None)  # nothing was tested
        if differ < FEW <= each.size:
            of_t = weighted_sum([(1.0, each)], self._plan.confidence).difference
            return replace(found, difference=replace(of_t, note=f"only {differ} of {each.size} units differ"))
        return found

    def _over_replicates(self, terms: Sequence[_Term]) -> Contrast:
        """The difference in each replicate, and t over these; units that stay the same in all widen it."""
        draws = [[term.values(number) for number in range(self._base.replicates)] for term in terms]
        if any(values.empty for of_term in draws for values in of_term):
            return Contrast(Interval(None, note=NONE))
        means = np.array([[values.mean() for values in of_term] for of_term in draws])
        each = np.array([term.sign for term in terms]) @ means
        spreads = [
            found
            for term, of_term in zip(terms, draws, strict=True)
            if term.stays and (found := _spread(of_term)) is not None
        ]
        difference, p = with_units(each, spreads, self._plan.confidence)
        error, freedom = error_with_units(each, spreads) or (None, None)
        return Contrast(difference, p=p, error=error, freedom=freedom)

    def _mean(self, side: Side, cell: Cell, arm: str, baseline: str) -> tuple[Interval, int]:
        """A run's own number with its interval, as its tables have it, and its scored units."""
        row = side.outcome.row(cell, arm, baseline)
        if row is None:
            return Interval(None), 0
        if side.replicates > 1 and baseline == READ_LITERALLY:
            return Interval(float(np.mean([v.mean() for v in self._of(side, cell, arm, baseline)]))), row.n
        if side.replicates > 1:
            at = (cell.scorer, cell.metric, cell.slice, arm, baseline, MEAN)
            for over in read_variance(side.outcome):
                if (over.scorer, over.metric, over.slice, over.arm, over.baseline, over.component) == at:
                    return Interval(over.value, over.low, over.high), row.n
        if baseline:
            return Interval(row.difference, row.difference_low, row.difference_high), row.n
        return Interval(row.mean, row.low, row.high), row.n

    def _same_explanations(self, units: pd.Index) -> int:
        texts = [
            {base_id(unit): text for unit, text in side.explanations.items()} for side in (self._base, self._other)
        ]
        return sum(unit in texts[0] and texts[0][unit] == texts[1].get(unit) for unit in units)


def _rows(scores: pd.DataFrame, cell: Cell, arm: str) -> pd.DataFrame:
    wanted = {
        "scorer": cell.scorer,
        "metric": cell.metric,
        "slice": cell.slice,
        "arm": arm,
        "pairing": Pairing.OWN.value,
    }
    chosen: pd.DataFrame = scores.loc[np.logical_and.reduce([scores[name] == value for name, value in wanted.items()])]
    return chosen


def _spread(draws: Sequence[pd.Series]) -> UnitSpread | None:
    """What the units add that are the same in every replicate."""
    together = pd.concat(draws, axis=1, join="inner")
    return crossed_spread(together.to_numpy(dtype=np.float64))


def in_families_of_runs(rows: Sequence[BetweenRunsRow], headline: Cell) -> list[BetweenRunsRow]:
    """The rows with `family`, and with what is adjusted within it (Holm 1979), over all runs that are compared.

    Primary: of the features, in the headline's cell, the scores and their difference from the baseline. Secondary, per
    metric: all else.
    """
    named = [replace(row, family=_family_of(row, headline)) for row in rows]
    return adjusted(named, lambda row: (row.family, row.metric) if row.family else None)


def _family_of(row: BetweenRunsRow, headline: Cell) -> str:
    if row.p is None:
        return ""
    at = (row.metric, row.slice) == (headline.metric, headline.slice)
    return PRIMARY if at and is_feature(row.arm) and row.baseline != READ_LITERALLY else SECONDARY
