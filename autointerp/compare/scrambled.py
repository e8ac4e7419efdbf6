"""A subject's own units against those of scrambled subjects: differences, and differences in differences.

What is compared are means over units. A side that consists of three draws or more (seeds of the scrambling, replicates
of the run) is a sample of draws: its variance is that of their means, and covers the choice of the draw. A side of
fewer is a sample of units. The two are put together by Welch (1947) with the degrees of freedom of Satterthwaite
(1946). A t over the differences from each seed alone would take the subject's own mean, the same in all of them, for
known without error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.metrics.differences import weighted_sum
from autointerp.metrics.intervals import EQUAL, ONE
from autointerp.records import Pairing, Status
from autointerp.scrambled_rows import ScrambledRow
from autointerp.study import Study
from autointerp.tables import read_table, write_table
from autointerp.units.arms import baseline_of, feature_hooks, is_feature, ordered
from autointerp.units.interface import kind_of
from autointerp.units.neurons import Neurons
from autointerp.units.scrambled import ScrambledFeatures, ScrambledNeurons, scrambled_arm

DRAWS = 3
"""From so many on, the variance between draws is estimated."""
FEATURES, BASELINE, DIFFERENCE = "features", "baseline", "difference"

Values: TypeAlias = Float[np.ndarray, " _"]
Draw: TypeAlias = tuple[Values, ...]
"""Scores of the units of one draw: of one arm, or of two, the first less the second."""
ByArm: TypeAlias = Mapping[str, list[Values]]
"""The scored values of a run, by arm and replicate of its units."""
OVER_REPLICATES = "scrambled_replicates.parquet"
"""Of a run with replicates, by path in its folder."""


@dataclass(frozen=True)
class Welch:
    """A weighted sum of independent means, with its interval and two-sided test; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""


def parts_of(draws: Sequence[Draw]) -> list[tuple[float, Values]] | None:
    """The mean over draws of (first arm less second) as weighted independent parts; None where an arm has no unit."""
    if not draws or any(not values.size for draw in draws for values in draw):
        return None
    if len(draws) >= DRAWS:
        each = np.array([sum(_sign(place) * values.mean() for place, values in enumerate(draw)) for draw in draws])
        return [(1.0, each)]
    return [(_sign(place) / len(draws), values) for draw in draws for place, values in enumerate(draw)]


def _sign(place: int) -> float:
    return -1.0 if place else 1.0


def welch(own: Sequence[Draw], scrambled: Sequence[Draw], confidence: float) -> Welch:
    """Mean over the draws of `own` less mean over those of `scrambled`; scores in, difference of scores out.

    Without an interval, and with a note, where a part has one unit alone, or nothing varies.
    """
    first, second = parts_of(own), parts_of(scrambled)
    if first is None or second is None:
        return Welch(None, note="nothing could be scored")
    found = weighted_sum([*first, *((-weight, values) for weight, values in second)], confidence)
    note = _NOTES.get(found.difference.note, "")
    return Welch(found.difference.value, found.difference.low, found.difference.high, found.p, note)


_NOTES = {ONE: "one unit alone has no variance", EQUAL: "nothing varies"}


def hardest(rows: Sequence[ScrambledRow]) -> ScrambledRow | None:
    """Of the rows of one cell and arm: features against the scheme whose own features score highest, all its seeds."""
    found = [row for row in rows if row.measure == FEATURES and not row.subject and row.scrambled is not None]
    return max(found, key=lambda row: row.scrambled or 0.0, default=None)


def beats(row: ScrambledRow, confidence: float) -> bool:
    """Whether the subject's own units score higher: interval and test must both say so."""
    return row.low is not None and row.p is not None and row.low > 0 and row.p < 1 - confidence


def hold_against_scrambled(study: Study, run_dir: Path) -> None:
    """Write `scrambled.parquet` from `scores.parquet`: own explanations, every scorer, metric and slice, all units.

    A row per feature arm, scheme, measure, and scrambled subject ('': all of the scheme). Raises BadInput when a table
    is missing.
    """
    write_table("scrambled", run_dir / "scrambled.parquet", _over([(study, run_dir)]))


def hold_replicates_against_scrambled(runs: Sequence[tuple[Study, Path]]) -> None:
    """Write the same over all replicates of a run, each with its study (the run itself first), into the run's folder.

    Every replicate is a draw of either side, with the scrambled subjects that it has.
    """
    write_table("scrambled", runs[0][1] / OVER_REPLICATES, _over(runs))


def _over(runs: Sequence[tuple[Study, Path]]) -> list[ScrambledRow]:
    cells: dict[tuple[str, str, str], list[tuple[Study, ByArm]]] = {}
    for study, folder in runs:
        scores = read_table(folder / "scores.parquet")
        scores = scores[scores["pairing"] == Pairing.OWN.value]
        for (scorer, metric, slice_name), cell in scores.groupby(["scorer", "metric", "slice"], sort=False):
            by_arm = {str(arm): _draws(of_arm) for arm, of_arm in cell.groupby("arm", sort=False)}
            cells.setdefault((str(scorer), str(metric), str(slice_name)), []).append((study, by_arm))
    return [row for cell, of_runs in cells.items() for row in _rows(cell, of_runs)]


def _draws(scores: pd.DataFrame) -> list[Values]:
    """The scored values of an arm, replicate by replicate."""
    fine = scores["status"] == Status.OK.value
    return [
        of_draw.loc[fine[of_draw.index], "value"].to_numpy(dtype=np.float64)
        for _, of_draw in scores.groupby("replicate")
    ]


@dataclass(frozen=True)
class Counterparts:
    """A feature arm, its neurons, and the arms of the same SAE and hook in the scrambled subjects of a scheme."""

    arm: str
    baseline: str
    """The arm of neurons that it is held against; '' without one."""
    scheme: str
    scrambled: Mapping[str, tuple[str, str]]
    """By subject: the arm of features, and that of neurons."""


def counterparts(study: Study, arms: Collection[str]) -> Iterator[Counterparts]:
    """Every feature arm among `arms` with every scheme; without the scrambled subjects that lack either arm."""
    hooks, several_hooks = feature_hooks(study), len(study.subject.hooks) > 1
    for arm in filter(is_feature, ordered(arms)):
        name = arm.partition(":")[2] or study.sae[0].name
        # The counterpart is of neurons: a baseline of another kind has none on the scrambled side.
        found = baseline_of(arm, arms, study.compare.baseline, hooks)
        baseline = found if found is not None and kind_of(found) == Neurons.name else ""
        for scheme in study.scrambled.schemes:
            others = {
                each.name: (
                    scrambled_arm(ScrambledFeatures.name, each.name, name, len(study.sae) > 1),
                    scrambled_arm(ScrambledNeurons.name, each.name, hooks[arm], several_hooks),
                )
                for each in study.scrambled_subjects
                if each.scheme == scheme
            }
            there = {subject: both for subject, both in others.items() if set(both) <= set(arms)}
            yield Counterparts(arm, baseline, scheme, there)


def _rows(cell: tuple[str, str, str], runs: Sequence[tuple[Study, ByArm]]) -> Iterator[ScrambledRow]:
    found = [list(counterparts(study, by_arm)) for study, by_arm in runs]
    for alike in zip(*found, strict=True):  # an arm and a scheme, in every replicate
        arm, baseline = alike[0].arm, alike[0].baseline
        own: dict[str, list[Draw]] = {}
        others: dict[str, dict[str, list[Draw]]] = {}
        for each, (_, by_arm) in zip(alike, runs, strict=True):
            _take(own, by_arm, arm, baseline)
            for subject, (features, neurons) in each.scrambled.items():
                _take(others.setdefault(subject, {}), by_arm, features, neurons)
        for measure, draws in own.items():
            made = _Made(cell, arm, baseline, alike[0].scheme, measure, runs[0][0].compare.confidence)
            if others:
                yield made.row("", draws, [draw for of in others.values() for draw in of[measure]], len(others))
            for subject, of in others.items():
                yield made.row(subject, draws, of[measure], 1)


def _take(found: dict[str, list[Draw]], by_arm: ByArm, features: str, neurons: str) -> None:
    """Add the draws of a replicate, of each measure."""
    found.setdefault(FEATURES, []).extend((values,) for values in by_arm[features])
    if neurons:
        found.setdefault(BASELINE, []).extend((values,) for values in by_arm[neurons])
        found.setdefault(DIFFERENCE, []).extend(zip(by_arm[features], by_arm[neurons], strict=True))


@dataclass(frozen=True)
class _Made:
    """What the rows of one measure share."""

    cell: tuple[str, str, str]
    arm: str
    baseline: str
    scheme: str
    measure: str
    confidence: float

    def row(self, subject: str, own: Sequence[Draw], scrambled: Sequence[Draw], subjects: int) -> ScrambledRow:
        result = welch(own, scrambled, self.confidence)
        few = over_units_alone(subjects) if len(scrambled) < DRAWS else _over_replicates_of(subjects)
        note = result.note or ("" if subject else few)
        return ScrambledRow(
            scorer=self.cell[0],
            metric=self.cell[1],
            slice=self.cell[2],
            arm=self.arm,
            baseline=self.baseline,
            scheme=self.scheme,
            subject=subject,
            measure=self.measure,
            own=mean_of(own),
            scrambled=mean_of(scrambled),
            difference=result.value,
            low=result.low,
            high=result.high,
            p=result.p,
            subjects=subjects,
            n=count(own),
            n_scrambled=count(scrambled),
            note=note,
        )


def over_units_alone(subjects: int) -> str:
    """The note of an interval over so many scrambled subjects; '' where it covers the choice of their seeds."""
    if subjects >= DRAWS:
        return ""
    return f"over units alone: {subjects} scrambled {'subjects' if subjects > 1 else 'subject'}"


def _over_replicates_of(subjects: int) -> str:
    """The note of an interval over replicates; '' where it covers the choice of the scrambled subjects' seeds, too."""
    if subjects >= DRAWS:
        return ""
    return f"over replicates, of {subjects} scrambled {'subjects' if subjects > 1 else 'subject'}"


def mean_of(draws: Sequence[Draw]) -> float | None:
    """The mean over draws; None where an arm has no unit."""
    parts = parts_of(draws)
    return None if parts is None else sum(float(weight * values.mean()) for weight, values in parts)


def count(draws: Sequence[Draw]) -> int:
    """Scored units, all together."""
    return sum(values.size for draw in draws for values in draw)
