"""The rows of the table of what replicates of a run found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VarianceRow:
    """A score over the replicates of a run, or a part of its variance. Only in runs with several replicates.

    With a baseline it is of the difference of the two arms' means, else of the arm. Own explanations, all units.
    """

    scorer: str
    """Simulator or judge."""
    metric: str
    slice: str
    arm: str
    baseline: str
    """The arm that it is held against; '' for none."""
    component: str
    """`draw`: the mean in one replicate; `mean`: over replicates; `replicate`: variance between replicates; `error`:
    variance that the draw of units gives one replicate's mean; `unit`: variance between units; `residual`: what is left
    of it; `icc`: how far one replicate's scores of the units are those of another; `rank`: the same of their ranks."""
    replicate: int | None
    """Which one, of `draw`; 0 is the run itself."""
    value: float | None
    """A score, a variance of scores, or a correlation."""
    low: float | None = None
    """Lower bound of its interval: over units for `draw`; over replicates for `mean`: t on R - 1 degrees, and
    Satterthwaite's where units stay the same."""
    high: float | None = None
    """Its upper bound."""
    p: float | None = None
    """Of the same t, two-sided, of a difference; unadjusted."""
    replicates: int = 1
    """How many it is over."""
    units: int | None = None
    """Scored units of the arm: in this replicate for `draw`, else those that are scored in every replicate."""
    note: str = ""
    """What is special about the value or its interval."""
