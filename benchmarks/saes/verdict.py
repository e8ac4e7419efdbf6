"""The tables of quality, and whether ours is at least as good as the best rival, within the noise of the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from common.tables import aligned

from saes.contestants import OURS
from saes.job import METRICS
from saes.quality import Row, by_problem
from saes.search import is_near

_BETTER = {"max_cosine": 1, "fvu": -1}
"""What is compared, and which way is better."""
_NAMES = {"max_cosine": "recovery", "fvu": "FVU"}
_ERRORS = 2.0
_HEAD = ["", "", "lr", "penalty", "mean max cosine", "above 0.9", "L0", "FVU", "dead"]


@dataclass(frozen=True)
class Verdict:
    """Ours beside the best rival, for one problem, architecture and metric."""

    problem: str
    architecture: str
    metric: str
    rival: str
    """The best one; of those whose L0 is near the target, if any is."""
    ours: float
    theirs: float
    as_good: bool
    """No worse, or by no more than two standard errors of the difference within a seed."""
    comparable: bool
    """Whether both have an L0 near the target."""

    @property
    def sentence(self) -> str:
        """For the printed report."""
        word = "at least as good" if self.as_good else "NOT as good"
        doubt = "" if self.comparable else "; an L0 is off its target"
        figures = f"{self.ours:.3f}, best rival {self.theirs:.3f} ({self.rival})"
        return f"{self.architecture}, {_NAMES[self.metric]}: {word}: {figures}{doubt}"


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """One per problem, architecture and metric that ours and a rival were both measured on."""
    found = []
    for (problem, architecture), group in by_problem(rows).items():
        own = next((row for row in group if row.entry.contestant == OURS), None)
        rivals = [row for row in group if row.entry.contestant != OURS]
        if own is None or not rivals:
            continue
        near = [row for row in rivals if is_near(row.mean("l0"), row.problem.k)]
        for metric, sign in _BETTER.items():
            best = max(near or rivals, key=lambda row: sign * row.mean(metric))
            found.append(
                Verdict(
                    problem,
                    architecture,
                    metric,
                    best.entry.name,
                    own.mean(metric),
                    best.mean(metric),
                    _as_good([sign * (a - b) for a, b in zip(own.values(metric), best.values(metric), strict=True)]),
                    best in near and is_near(own.mean("l0"), own.problem.k),
                )
            )
    return found


def _as_good(differences: Sequence[float]) -> bool:
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return fmean(differences) >= -_ERRORS * error


def table(rows: Sequence[Row]) -> str:
    """The rows of one problem, aligned: means and standard deviations over the seeds."""
    lines = [_HEAD]
    for group in by_problem(rows).values():
        for row in group:
            settings = [f"{row.settings.lr:g}", f"{row.settings.penalty:.3g}" if row.entry.penalised else ""]
            cells = [_cell(row, metric, 2 if metric == "l0" else 3) for metric in METRICS]
            lines.append([row.entry.architecture, row.entry.name, *settings, *cells])
    return aligned(lines, left=2)


def _cell(row: Row, metric: str, digits: int) -> str:
    spread = row.spread(metric)
    text = f"{row.mean(metric):.{digits}f}"
    return text if spread is None else f"{text} ± {spread:.{digits}f}"
