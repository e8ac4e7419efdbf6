"""What each factor does to a score, run by run, and all of them together: the rows of `variance_sources.parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from autointerp.between_runs.comparable import SHARED
from autointerp.between_runs.redrawn import ReadAs, RedrawnRun
from autointerp.compare.replicates import (
    ICC,
    MEAN,
    NOTHING,
    RANK,
    REPLICATE,
    UNCHANGED,
    kept_units,
    stays,
    unit_spread,
)
from autointerp.metrics.shares import TOTAL, UNIT, Redrawn, Square, pooled, shares, summed
from autointerp.metrics.variance import (
    Anova,
    Component,
    UnitSpread,
    anova,
    between,
    consistency,
    crossed_components,
    nested_units,
    rank_agreement,
    retest,
    top_agreement,
    with_units,
)
from autointerp.rows import NO_BASELINE
from autointerp.variance_rows import FactorRow

SAMPLING, CONSISTENCY, TOP, SHARE = "sampling", "consistency", "top", "share"
ALL_FACTORS, PIPELINE = "all", "pipeline"
UNITS, SAE = "units", "sae"
TOO_FEW = "under half of the units are the same and scored in every draw: only means are held together"
MISSING = "not every run has scores in every draw"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class _OverDraws:
    """One arm over the draws of one run."""

    draws: Sequence[pd.Series]
    kept: pd.DataFrame
    """Units that are the same and scored in every draw; none where they are too few to be held together."""
    spread: UnitSpread | None
    note: str

    @property
    def missing(self) -> str:
        """Which draws have no score at all; '' where all have."""
        empty = [str(number) for number, values in enumerate(self.draws) if values.empty]
        return f"{NOTHING} {', '.join(empty)}" if empty else ""

    @property
    def means(self) -> np.ndarray:
        return np.array([values.mean() for values in self.draws])

    @property
    def units(self) -> float:
        return float(np.mean([len(values) for values in self.draws]))

    @property
    def sampling(self) -> float | None:
        """What other units would give the mean of one draw: s^2 / n, the mean over draws; None below two units."""
        known = [float(values.var(ddof=1)) / len(values) for values in self.draws if len(values) > 1]
        return float(np.mean(known)) if known else None

    @property
    def both(self) -> Anova | None:
        """The analysis of variance of units by draws; None where they are not held together."""
        return anova(self.kept.to_numpy(dtype=np.float64))

    @property
    def redrawn(self) -> Redrawn | None:
        """What the factor's draws did, as `shares` takes it; None where a draw has no two units."""
        both, freedom = self.both, sum(len(values) - 1 for values in self.draws if len(values))
        if both is not None:
            means = Square(both.of_replicates / both.units, both.replicates - 1)
            return Redrawn(means, Square(both.residual, both.residual_freedom), both.units, same=True)
        if self.missing or self.spread is None or not freedom:
            return None
        rest = Square(self.spread.within * self.units, freedom)
        return Redrawn(Square(float(self.means.var(ddof=1)), len(self.draws) - 1), rest, self.units, same=False)


def _arm_of(run: RedrawnRun, arm: str, way: ReadAs) -> _OverDraws:
    draws = run.draws(arm, way)
    kept = kept_units(run.side.study, arm, draws)
    enough = len(kept) >= max(2.0, SHARED * max(len(values) for values in draws))
    note = TOO_FEW if stays(run.side.study, arm) and not enough else ""
    return _OverDraws(draws, kept if enough else kept.iloc[:0], unit_spread(kept, draws), note)


def factor_rows(runs: Sequence[RedrawnRun]) -> list[FactorRow]:
    """All rows: every run's own, then those of all runs together."""
    base = runs[0]
    outcome, confidence = base.side.outcome, base.side.study.compare.confidence
    pairs = [(arm, other) for arm in outcome.feature_arms if (other := outcome.baseline_of(arm)) not in (None, arm)]
    rows: list[FactorRow] = []
    for way in base.ways:
        at = (way.scorer, way.pairing.value, base.cell.metric, base.cell.slice)
        blank = FactorRow(ALL_FACTORS, "", *at, "", NO_BASELINE, MEAN, None)
        arms = {arm: {str(run.factor): _arm_of(run, arm, way) for run in runs} for arm in outcome.main_arms}
        for run in runs:
            here = replace(blank, factor=run.factor, run=run.side.label, replicates=run.side.replicates)
            for arm in outcome.main_arms:
                rows += _own(replace(here, arm=arm), arms[arm][run.factor], confidence)
            for arm, other in pairs:
                both = arms[arm][run.factor], arms[str(other)][run.factor]
                rows += _of_difference(replace(here, arm=arm, baseline=str(other)), *both, confidence)
        for arm in outcome.main_arms:
            rows += _together(replace(blank, arm=arm), [arms[arm]], confidence)
            rows += _shares(replace(blank, arm=arm), arms[arm], confidence)
        for arm, other in pairs:
            rows += _together(replace(blank, arm=arm, baseline=str(other)), [arms[arm], arms[str(other)]], confidence)
    return rows


def _own(blank: FactorRow, arm: _OverDraws, confidence: float) -> Iterator[FactorRow]:
    """An arm's mean over the draws of a factor, and what the draws and the units give."""
    if arm.missing:
        yield replace(blank, note=arm.missing)
        return
    blank = replace(blank, units=round(arm.units))
    means = arm.means
    found, _ = with_units(means, [arm.spread] if arm.spread else [], confidence)
    note = UNCHANGED if np.ptp(means) <= _ROUNDING else found.note
    yield replace(blank, value=found.value, low=found.low, high=found.high, note=note)
    yield replace(blank, component=SAMPLING, value=arm.sampling)
    both = arm.both
    if both is None:
        by_chance = arm.spread.within if arm.spread else 0.0
        yield _of(blank, REPLICATE, between(means, by_chance, confidence), arm.note)
        yield _of(blank, UNIT, nested_units([v.to_numpy(dtype=np.float64) for v in arm.draws], confidence))
        return
    blank = replace(blank, units=both.units)
    values = arm.kept.to_numpy(dtype=np.float64)
    for name, part in crossed_components(both, confidence).items():
        yield _of(blank, name, part)
    again = retest(both, confidence)
    yield replace(blank, component=ICC, value=again.value, low=again.low, high=again.high, note=again.note)
    alike = consistency(both, confidence)
    yield replace(blank, component=CONSISTENCY, value=alike.value, low=alike.low, high=alike.high, note=alike.note)
    yield replace(blank, component=RANK, value=rank_agreement(values))
    yield replace(blank, component=TOP, value=top_agreement(values))


def _of_difference(blank: FactorRow, first: _OverDraws, second: _OverDraws, confidence: float) -> Iterator[FactorRow]:
    if missing := first.missing or second.missing:
        yield replace(blank, note=missing)
        return
    blank = replace(blank, units=round(first.units))
    spreads = [arm.spread for arm in (first, second) if arm.spread is not None]
    differences = first.means - second.means
    found, _ = with_units(differences, spreads, confidence)
    note = UNCHANGED if np.ptp(differences) <= _ROUNDING else found.note
    yield replace(blank, value=found.value, low=found.low, high=found.high, note=note)
    known = [arm.sampling for arm in (first, second) if arm.sampling is not None]
    if len(known) == len((first, second)):
        yield replace(blank, component=SAMPLING, value=sum(known))
    by_chance = sum(spread.within for spread in spreads)
    yield _of(blank, REPLICATE, between(differences, by_chance, confidence))


def _together(blank: FactorRow, arms: Sequence[Mapping[str, _OverDraws]], confidence: float) -> Iterator[FactorRow]:
    """What all factors do to a mean, or to the difference of two arms, beside what the choice of units does.

    Variances of factors that were drawn one at a time are added: there are no interactions in the sum.
    """
    factors = [factor for factor in arms[0] if factor != UNITS]
    if any(one.missing for by_factor in arms for one in by_factor.values()):
        yield replace(blank, component=REPLICATE, note=MISSING)
        return
    parts = {}
    for factor in factors:
        here = [by_factor[factor] for by_factor in arms]
        values = here[0].means - (here[1].means if len(here) > 1 else 0.0)
        by_chance = sum(arm.spread.within for arm in here if arm.spread is not None)
        parts[factor] = (Square(float(values.var(ddof=1)), len(values) - 1), by_chance)
    for name, chosen in ((ALL_FACTORS, factors), (PIPELINE, [f for f in factors if f != SAE])):
        if chosen:
            yield _of(replace(blank, factor=name), REPLICATE, summed([parts[f] for f in chosen], confidence))
    sampling = [arm.sampling for by_factor in arms for arm in by_factor.values()]
    known = [value for value in sampling if value is not None]
    if len(known) == len(sampling):
        yield replace(blank, component=SAMPLING, value=float(np.mean(known)) * len(arms))


def _shares(blank: FactorRow, arms: Mapping[str, _OverDraws], confidence: float) -> Iterator[FactorRow]:
    """The draw of units is no factor of a single unit's score: what it draws is told as the unit's own share."""
    found = {factor: arm.redrawn for factor, arm in arms.items()}
    known = {factor: one for factor, one in found.items() if one is not None and factor != UNITS}
    of_units = _between_units(list(arms.values()))
    if None in found.values() or of_units is None:
        yield replace(blank, component=SHARE, note=MISSING)
        return
    parts = shares(of_units, known, confidence)
    for name, part in parts.items():
        if name == TOTAL:
            yield _of(blank, TOTAL, part)
        else:
            yield _of(replace(blank, factor=name), SHARE, part)


def _between_units(arms: Sequence[_OverDraws]) -> Square | None:
    """Variance between the units of one draw: units that are the same in several draws or runs count once."""
    same = [arm.kept.to_numpy(dtype=np.float64) for arm in arms if arm.both is not None]
    anew = [values for arm in arms if arm.both is None for values in arm.draws[1:]]
    squares = [Square(float(values.var(ddof=1)), len(values) - 1) for values in anew if len(values) > 1]
    if same:
        within = float(np.mean([values.var(axis=0, ddof=1).mean() for values in same]))
        squares.append(Square(within, min(len(values) for values in same) - 1))
    else:
        squares += [Square(float(v.var(ddof=1)), len(v) - 1) for v in (arms[0].draws[0],) if len(v) > 1]
    return pooled(squares) if squares else None


def _of(blank: FactorRow, component: str, part: Component, note: str = "") -> FactorRow:
    told = "; ".join(text for text in (part.note, note) if text)
    return replace(blank, component=component, value=part.variance, low=part.low, high=part.high, note=told)
