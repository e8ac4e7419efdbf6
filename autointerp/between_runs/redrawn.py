"""The runs that each redraw one factor of one study: whole, finished and of one study, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.between_runs.settings import of_studies
from autointerp.between_runs.sides import Side, check_replicated, read_finished
from autointerp.errors import BadInput
from autointerp.records import Pairing, Status
from autointerp.rows import Cell
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.study_inputs import FACTORS, Factor
from autointerp.units.interface import base_id

FEWEST, ENOUGH = 3, 5
"""Draws below which runs are refused, and below which it is said that they are few."""
_MAY_DIFFER = ("compare.replicates", "compare.redraw")
_ALIKE = 1e-3
"""Scores of one unit in two runs that differ by no more are the same: sums have other last bits in another batch."""


@dataclass(frozen=True)
class ReadAs:
    """A way in which the same units are scored: by whom, and with whose explanations."""

    scorer: str
    pairing: Pairing = Pairing.OWN


@dataclass(frozen=True)
class RedrawnRun:
    """A finished run whose replicates redraw one factor."""

    side: Side
    factor: Factor

    @property
    def cell(self) -> Cell:
        """That of the question which the run asks."""
        return self.side.outcome.headline

    @property
    def ways(self) -> list[ReadAs]:
        """By the simulator; by strings, by the token table and with others' explanations, where it has them."""
        scorer, known = self.cell.scorer, set(self.side.outcome.scores["scorer"])
        plain = [ReadAs(name) for name in (LITERAL, LOOKUP) if name in known and name != scorer]
        return [ReadAs(scorer), *plain, ReadAs(scorer, Pairing.SHUFFLED)]

    @cached_property
    def _scored(self) -> list[pd.DataFrame]:
        """Every draw's scores in the headline's metric and slice."""
        cell = self.cell
        at = [table[(table["metric"] == cell.metric) & (table["slice"] == cell.slice)] for table in self.side.scores]
        return [one[one["status"] == Status.OK.value].assign(unit=one["unit"].map(base_id)) for one in at]

    def draws(self, arm: str, way: ReadAs) -> list[pd.Series]:
        """Scores by unit in each draw; units without a score are left out."""
        wanted = {"arm": arm, "scorer": way.scorer, "pairing": way.pairing.value}
        found = [one.loc[(one[list(wanted)] == pd.Series(wanted)).all(axis=1)] for one in self._scored]
        return [one.set_index("unit")["value"] for one in found]


def read_redrawn(folders: Sequence[Path]) -> list[RedrawnRun]:
    """The runs, in the order in which data flows through what they redraw.

    Raises BadInput for fewer than two, for an unfinished or damaged one, for one that redraws nothing, several factors
    or what another one redraws, for fewer than three draws, and where studies differ in anything else.
    """
    if len(folders) < 2:
        raise BadInput(
            f"{len(folders)} run to put together",
            "give a run per factor; what one run redraws is in its own report and variance.parquet",
        )
    found: list[RedrawnRun] = []
    for side in read_finished(folders):
        run = RedrawnRun(side, _factor_of(side))
        check_replicated(side)
        for earlier in found:
            _check_together(earlier, run)
        found.append(run)
    return sorted(found, key=lambda run: FACTORS.index(run.factor))


def _factor_of(side: Side) -> Factor:
    compare = side.study.compare
    if side.replicates == 1:
        raise BadInput(
            f"{side.folder} has one replicate, so nothing was drawn anew in it",
            f"run its study with compare.replicates = {ENOUGH} and compare.redraw = ['explain'] (or another factor)",
        )
    if len(compare.redraw) != 1:
        raise BadInput(
            f"{side.folder} redraws {', '.join(compare.redraw)} together, so none of them can be told from the others",
            "name one factor in compare.redraw, and make a run for each",
        )
    if side.replicates < FEWEST:
        raise BadInput(
            f"{side.folder} has {side.replicates} replicates, too few for the variance between them",
            f"run it again with compare.replicates = {ENOUGH}: what it has is kept",
        )
    return compare.redraw[0]


def _check_together(first: RedrawnRun, second: RedrawnRun) -> None:
    if first.factor == second.factor:
        raise BadInput(
            f"{first.side.folder} and {second.side.folder} both redraw {first.factor}",
            "leave one of them out, and raise compare.replicates of the other for more draws",
        )
    apart = [one for one in of_studies(first.side.study, second.side.study) if one.key not in _MAY_DIFFER]
    if apart:
        told = ", ".join(f"{one.key} {one.base} against {one.other}" for one in apart[:3])
        more = f" and {len(apart) - 3} more" if len(apart) > 3 else ""
        raise BadInput(
            f"the studies of {first.side.folder} and {second.side.folder} differ in more than what they redraw: "
            f"{told}{more}",
            "make all runs of one study file, with --set compare.redraw alone changed",
        )


def caveats(runs: Sequence[RedrawnRun]) -> Iterator[str]:
    """What a reader must know before the numbers: few draws, and first draws that are not the same."""
    few = [f"{run.side.label} ({run.side.replicates})" for run in runs if run.side.replicates < ENOUGH]
    if few:
        yield (
            f"Under {ENOUGH} draws in {', '.join(few)}: the interval of a variance between so few is wide "
            f"(of 3 draws the standard deviation may be half of what was found, or six times as large)."
        )
    base = runs[0]
    for run in runs[1:]:
        worst, count, of = 0.0, 0, 0
        for arm in base.side.outcome.main_arms:
            both = pd.concat([one.draws(arm, one.ways[0])[0] for one in (base, run)], axis=1, join="outer")
            apart = (both.iloc[:, 0] - both.iloc[:, 1]).abs().fillna(np.inf)
            count, of = count + int((apart > _ALIKE).sum()), of + len(apart)
            worst = max(worst, float(apart.max()) if len(apart) else 0.0)
        if count:
            by = "some have no score in one of them" if np.isinf(worst) else f"by up to {worst:.2g}"
            yield (
                f"The first draw should be the same in every run, and {count} of {of} units score otherwise in "
                f"{run.side.label} than in {base.side.label} ({by}): another machine, version or ledger."
            )
