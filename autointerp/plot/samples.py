"""Which units stand for an arm in figures and tables: its best, its median and its worst, by a fixed rule."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.compare.outcome import Outcome
from autointerp.records import Pairing, Status
from autointerp.rows import Cell


@dataclass(frozen=True)
class Sample:
    """A unit that stands for a place in its arm's order."""

    rank: str
    """`best`, `median` or `worst`."""
    unit: str
    replicate: int
    value: float
    """Its score in the cell asked for."""


def samples_of(outcome: Outcome, cell: Cell, arm: str) -> list[Sample]:
    """Best, median and worst scored unit of an arm (own pairing); ties by name; none twice, none when all are unscored.

    Of an even number of units the median is the lower of the two in the middle.
    """
    scores = outcome.scores
    chosen = scores[
        (scores["scorer"] == cell.scorer)
        & (scores["metric"] == cell.metric)
        & (scores["slice"] == cell.slice)
        & (scores["arm"] == arm)
        & (scores["pairing"] == Pairing.OWN.value)
        & (scores["status"] == Status.OK.value)
    ].sort_values(["value", "unit", "replicate"], ascending=[False, True, True], kind="stable")
    places = {"best": 0, "median": len(chosen) // 2, "worst": len(chosen) - 1}
    found: list[Sample] = []
    seen: set[int] = set()
    for rank, place in places.items():
        if 0 <= place < len(chosen) and place not in seen:
            seen.add(place)
            row = chosen.iloc[place]
            found.append(Sample(rank, str(row["unit"]), int(row["replicate"]), float(row["value"])))
    return found
