"""The rows of the tables of what replicates found: of one run, and of several runs that redraw one factor each."""

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


@dataclass(frozen=True)
class FactorRow:
    """What one factor, drawn anew by itself, does to a score; or all of them together.

    With a baseline it is of the difference of the two arms' means, else of the arm.
    """

    factor: str
    """What was drawn anew: `corpus`, `sae`, `units`, `evidence`, `explain` or `simulate`; `pipeline`: all but the SAE
    and the units together; `all`: all but the units; of `share` also `unit`, the unit itself."""
    run: str
    """The run that drew it; '' where the row is of several."""
    scorer: str
    """Simulator; `literal`, `lookup`: the same without a model, and without an explanation."""
    pairing: str
    """`own` explanation, or `shuffled`: others' explanations."""
    metric: str
    slice: str
    arm: str
    baseline: str
    """The arm that it is held against; '' for none."""
    component: str
    """`mean`: over draws; `replicate`: variance between draws that shifts all units; `residual`: what it does to a unit
    alone; `unit`: variance between units; `sampling`: variance that the choice of units gives the mean, or difference,
    of one draw; `icc`: how far one draw's scores are those of another; `consistency`: the same but for a shift of all
    units; `rank`: the same of ranks; `top`: share of the
    best quarter of the units that is the best quarter in another draw; `share`: of the variance of a single unit's
    score; `total`: that variance."""
    value: float | None
    """A score, a variance, a correlation or a share."""
    low: float | None = None
    """Lower bound of its interval."""
    high: float | None = None
    """Its upper bound."""
    replicates: int = 0
    """Draws, the run itself included; 0 where the row is of several runs."""
    units: int | None = None
    """Of `residual`, `unit` and agreements: units that are the same and scored in every draw; else scored
    units of the arm in a draw, on average."""
    note: str = ""
    """What is special about the value or its interval."""
