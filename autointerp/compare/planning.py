"""What further units, replicates and hours would find, in lines for the terminal: by the spread of a run's scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.artifacts import read_json
from autointerp.compare.outcome import Outcome, headline_of
from autointerp.compare.replicates import REPLICATE, VARIANCE
from autointerp.compare.words import capital, listed, metric_words, number, with_interval
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM, slice_words
from autointerp.errors import BadInput
from autointerp.metrics.power import best_split, best_units, planned_error, smallest_difference, units_for
from autointerp.metrics.variance import covered
from autointerp.progress import aligned
from autointerp.records import Pairing, Status
from autointerp.rows import Cell
from autointerp.study import Study
from autointerp.tables import read_table
from autointerp.units.arms import baselines_of, feature_hooks, is_feature, ordered, plain
from autointerp.units.interface import kind_of
from autointerp.units.registry import count_of

ASSUMED = (0.02, 0.04, 0.06)
"""Standard deviations of the true difference between replicates, where none was measured."""
_UNKNOWN = "\u2013"
_REPLICATES = (1, 3, 5, 10)
_REFERENCE = {TOP_AND_RANDOM: (0.19, 0.27), RANDOM_ONLY: (0.28, 0.17)}
"""Standard deviations of the scores of features and of neurons in the committed run, by slice."""
_PER_REPLICATE = ("corpus", "subject", "train", "quality", "collect")
_PER_UNIT = ("explain", "settle", "simulate", "judge", "score")
_HOUR = 3600.0


@dataclass(frozen=True)
class Spreads:
    """Standard deviations of scores over the units of two arms."""

    arm: str
    baseline: str
    first: float
    second: float
    units: int
    """In the smaller arm."""


@dataclass(frozen=True)
class ReplicateCost:
    """What a replicate of a run takes, in seconds."""

    fixed: float
    """Without its units."""
    stages: tuple[str, ...]
    """Those that take it."""
    unit: float
    """For one more unit in every arm."""


def power_lines(outcome: Outcome, difference: float, tau: float | None, hours: float | None) -> Iterator[str]:
    """What the run's question could find with more units and replicates; and the best split of some hours.

    `difference` is the one that is wanted, on the scale of the score; `tau` the standard deviation of the true
    difference between replicates (None: as `variance.parquet` has it, else several assumed ones); `hours` to be spent
    (None: what five replicates of this run take). Raises BadInput for a run without features and a baseline.
    """
    pairs = list(_pairs(outcome))
    if not pairs:
        raise BadInput(
            f"{outcome.run_dir} has no features and {plain(outcome.study.compare.baseline)} with two scored units each",
            "give a run folder that has",
        )
    spent = cost_of(outcome.run_dir, pairs[0].units)
    for place, spreads in enumerate(pairs):
        if place:
            yield ""
        known = tau if tau is not None else measured_tau(outcome.run_dir, outcome.headline, spreads)
        taus = (0.0, *ASSUMED) if known is None else (known,)
        yield from _about(outcome, spreads, taus, known is None)
        yield ""
        yield from _found(spreads, taus)
        yield ""
        yield from _needed(spreads, difference, taus)
        yield ""
        yield from _split(spreads, taus, spent, hours)


def planned_lines(study: Study, run_dir: Path) -> Iterator[str]:
    """What a study could find before it is run: by the scores of its folder where it has some, else by the reference's.

    Nothing for a study without features or without neurons as the baseline.
    """
    cell, baseline = headline_of(study), study.compare.baseline
    features, others = study.units.features, count_of(study, kind_of(baseline))
    if not study.sae or not features or not others or is_feature(baseline):
        return
    spreads, of_whom = _REFERENCE[cell.slice], f"in the reference run on {slice_words(cell.slice)}"
    path = run_dir / "scores.parquet"
    if path.is_file():
        scores = read_table(path)
        arms = ordered(scores["arm"])
        asked = baselines_of(arms, baseline, feature_hooks(study))
        found = [pair for arm, other in asked.items() if other and (pair := _spreads(scores, cell, arm, other))]
        if found:
            spreads, of_whom = (found[0].first, found[0].second), "in this folder"
    smallest = number(smallest_difference(*planned_error(*spreads, min(features, others))))
    yield (
        f"With {features} features and {others} {plain(baseline)} a difference of {smallest} is found with 80% power, "
        f"if scores spread as {of_whom} (standard deviations {number(spreads[0])} and {number(spreads[1])}) and "
        "replicates don't differ. `autointerp power RUN` says what more units and replicates find."
    )


def cost_of(run_dir: Path, units: int) -> ReplicateCost | None:
    """What a replicate of this run took; None where its manifest doesn't tell."""
    path = run_dir / "manifest.json"
    stages: Mapping[str, Mapping[str, Mapping[str, float]]] = read_json(path)["stages"] if path.is_file() else {}
    seconds = {name: float(stage["facts"].get("seconds", 0.0)) for name, stage in stages.items()}
    of_replicate = [name for name in seconds if name.split(" ")[0] in _PER_REPLICATE]
    fixed = sum(seconds[name] for name in of_replicate)
    by_unit = sum(spent for name, spent in seconds.items() if name in _PER_UNIT)
    return ReplicateCost(fixed, tuple(of_replicate), by_unit / units) if fixed > 0 and by_unit > 0 else None


def measured_tau(run_dir: Path, cell: Cell, spreads: Spreads) -> float | None:
    """Standard deviation of the true difference between replicates, as `variance.parquet` has it; None without one."""
    path = run_dir / VARIANCE
    if not path.is_file():
        return None
    wanted = {
        "scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice, "arm": spreads.arm,
        "baseline": spreads.baseline, "component": REPLICATE,
    }  # fmt: skip
    found = read_table(path)
    for column, value in wanted.items():
        found = found[found[column] == value]
    known = found["value"].dropna()
    return float(np.sqrt(known.iloc[0])) if len(known) else None


def _pairs(outcome: Outcome) -> Iterator[Spreads]:
    for arm in outcome.feature_arms:
        baseline = outcome.baseline_of(arm)
        if baseline is not None and baseline != arm:
            found = _spreads(outcome.scores, outcome.headline, arm, baseline)
            if found is not None:
                yield found


def _spreads(scores: pd.DataFrame, cell: Cell, arm: str, baseline: str) -> Spreads | None:
    """Of two arms with two scored units each; None without."""
    at = (scores["scorer"] == cell.scorer) & (scores["metric"] == cell.metric) & (scores["slice"] == cell.slice)
    own = scores[at & (scores["pairing"] == Pairing.OWN.value) & (scores["status"] == Status.OK.value)]
    first, second = (own.loc[own["arm"] == name, "value"] for name in (arm, baseline))
    if min(len(first), len(second)) < 2:
        return None
    return Spreads(arm, baseline, float(first.std()), float(second.std()), min(len(first), len(second)))


def _about(outcome: Outcome, spreads: Spreads, taus: Sequence[float], assumed: bool) -> Iterator[str]:
    cell = outcome.headline
    row = outcome.against_baseline(cell, spreads.arm)
    found = _UNKNOWN if row is None else with_interval(row.difference, row.difference_low, row.difference_high)
    yield (
        f"{capital(plain(spreads.arm))} minus {plain(spreads.baseline)}, {metric_words(cell.metric)} on "
        f"{slice_words(cell.slice)}: {found}, {spreads.units} units an arm, standard deviations "
        f"{number(spreads.first)} and {number(spreads.second)}."
    )
    error = planned_error(spreads.first, spreads.second, spreads.units)[0]
    confidence = outcome.study.compare.confidence
    some = [tau for tau in taus if tau > 0]
    if some:
        kept = listed([f"{covered(error, tau, confidence):.0%}" for tau in some])
        yield (
            f"If the true difference {'varied' if assumed else 'varies'} between replicates by "
            f"{listed([f'{tau:g}' for tau in some])} (a standard deviation), the {confidence:.0%} interval of one "
            f"replicate would cover it in {kept}."
        )
    if assumed:
        yield "How far it varies was not measured: `--tau`, or a run of several replicates."


def _heads(taus: Sequence[float]) -> list[str]:
    return [f"varies by {tau:g}" for tau in taus]


def _found(spreads: Spreads, taus: Sequence[float]) -> Iterator[str]:
    """Rows of units and replicates; one replicate alone doesn't see what replicates vary by."""
    yield "Smallest difference that is found (80% power, two-sided test at 5%):"
    rows = [["units an arm", "replicates", *_heads(taus)]]
    for units in dict.fromkeys((spreads.units, 2 * spreads.units, 4 * spreads.units)):
        for replicates in _REPLICATES:
            cells = [
                _UNKNOWN
                if replicates == 1 and tau > 0
                else number(smallest_difference(*planned_error(spreads.first, spreads.second, units, tau, replicates)))
                for tau in taus
            ]
            if set(cells) != {_UNKNOWN}:
                rows.append([str(units), str(replicates), *cells])
    yield from aligned(rows, slice(0, None))


def _needed(spreads: Spreads, difference: float, taus: Sequence[float]) -> Iterator[str]:
    yield f"Units an arm in each replicate to find {difference:g} (none: no number of units is enough):"
    rows = [["replicates", *_heads(taus)]]
    for replicates in _REPLICATES:
        cells = []
        for tau in taus:
            units = units_for(difference, spreads.first, spreads.second, tau, replicates)
            blind = replicates == 1 and tau > 0
            cells.append(_UNKNOWN if blind else "none" if units is None else f"{units:,}")
        if set(cells) != {_UNKNOWN}:
            rows.append([str(replicates), *cells])
    yield from aligned(rows, slice(0, None))


def _split(spreads: Spreads, taus: Sequence[float], cost: ReplicateCost | None, hours: float | None) -> Iterator[str]:
    if cost is None:
        yield "The best split between units and replicates is not known: the manifest doesn't tell what each took."
        return
    budget = hours * _HOUR if hours is not None else 5 * (cost.fixed + cost.unit * spreads.units)
    yield (
        f"The best split of {budget / _HOUR:.2g} hours, by this run's wall time: a replicate takes {cost.fixed:.0f} s "
        f"({listed(cost.stages)}), and {cost.unit:.1f} s for each unit in every arm:"
    )
    rows = [["varies by", "replicates", "units an arm", "finds", "units, for any number of hours"]]
    for tau in taus:
        found = best_split(budget, spreads.first, spreads.second, tau, cost.fixed, cost.unit)
        always = best_units(spreads.first, spreads.second, tau, cost.fixed, cost.unit)
        shown = [_UNKNOWN] * 3 if found is None else [str(found.replicates), str(found.units), number(found.smallest)]
        rows.append([f"{tau:g}", *shown, "one replicate" if always is None else str(always)])
    yield from aligned(rows, slice(0, None))
