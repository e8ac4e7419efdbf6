"""Several runs, compared: all that the lines, the page and the figures say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.comparable import Ground, common_ground
from autointerp.between_runs.estimates import estimated, in_families_of_runs
from autointerp.between_runs.settings import Difference, differing
from autointerp.between_runs.sides import Side, read_sides
from autointerp.progress import bar
from autointerp.rows import NO_BASELINE, Cell


@dataclass(frozen=True)
class ComparedRuns:
    """The first run and every other one held against it."""

    base: Side
    others: tuple[Side, ...]
    differences: Mapping[str, Sequence[Difference]]
    """Label of another run -> the keys in which its study differs from the first one's."""
    grounds: Mapping[str, Ground]
    """Label of another run -> on what it is compared."""
    rows: tuple[BetweenRunsRow, ...]

    @property
    def headline(self) -> Cell:
        """The cell of the question, which is the first run's."""
        return self.base.outcome.headline

    @property
    def slices(self) -> list[str]:
        """Those on which any run is compared, the headline's first."""
        return list(dict.fromkeys(name for ground in self.grounds.values() for name in ground.slices))

    @property
    def arms(self) -> list[str]:
        """Those of the first run that any other has too."""
        shared = {arm for ground in self.grounds.values() for arm in ground.arms}
        return [arm for arm in self.base.outcome.arms if arm in shared]

    @property
    def main_arms(self) -> list[str]:
        """Features and what they are held against, of these."""
        return [arm for arm in self.base.outcome.main_arms if arm in self.arms] or self.arms

    def row(
        self, run: str, arm: str, baseline: str = NO_BASELINE, slice_name: str | None = None, metric: str | None = None
    ) -> BetweenRunsRow | None:
        """A row of the table, of the headline's metric and slice where none is named; None where there is none."""
        at = (run, arm, baseline, slice_name or self.headline.slice, metric or self.headline.metric)
        return next((r for r in self.rows if (r.run, r.arm, r.baseline, r.slice, r.metric) == at), None)


def compared_runs(folders: Sequence[Path], simulators: bool = False) -> ComparedRuns:
    """Compare run folders, the first being the one that the others are held against, from their tables alone.

    `simulators`: scores of different simulators are compared too. Raises BadInput where a run is unfinished, damaged or
    there twice, and where text, subject, simulator, cells, arms or replicates make the comparison meaningless.
    """
    base, *others = read_sides(folders)
    differences = {other.label: differing(base, other) for other in others}
    grounds = {other.label: common_ground(base, other, differences[other.label], simulators) for other in others}
    steps = sum(len(ground.metrics) * len(ground.slices) for ground in grounds.values())
    with bar("compare runs", steps, "tables") as progress:
        rows = [row for other in others for row in estimated(base, other, grounds[other.label], progress)]
    final = tuple(in_families_of_runs(rows, base.outcome.headline))
    return ComparedRuns(base, tuple(others), differences, grounds, final)
