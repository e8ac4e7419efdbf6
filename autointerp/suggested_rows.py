"""The row of the table of what was tried on a run's pages while `browse --serve` ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SuggestedRow:
    """How an explanation that a reader typed fits a unit, in one cell. None of it is in `scores` or what follows.

    Only in runs whose pages were served. The same explanation in the same cell again takes the place of the row.
    """

    unit: str
    arm: str
    text: str
    """The explanation; of a judge that needs none, or was asked about the run's own, that one or ''."""
    scorer: str
    """Simulator, `literal` or judge."""
    metric: str
    slice: str
    value: float | None
    chance: float
    """What knowing nothing scores."""
    run_value: float | None
    """What the unit's own explanation scores in the same cell, as the run's `scores` have it."""
    n_contexts: int
    """Contexts of the slice; 0 where tokens are judged."""
    asked: str
    """When, in UTC, to the second."""
    status: str
    reason: str
    run_shuffled: float | None = None
    """Its null: what other units' explanations score on the unit in the same cell, on average; None where the run tried
    none, and in tables of before."""
