"""The rows of the table of what a comparison of several runs found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BetweenRunsRow:
    """A number of one run held against the same number of the first run. Own explanations, all units.

    The number is a mean of scores, a difference of two arms, or what the simulator adds to a literal reading.
    """

    run: str
    """What the run is called: the last part of its folder's path, or more of it where that is not enough."""
    base: str
    """The first run, which it is held against."""
    scorer: str
    """Simulator of `run`."""
    base_scorer: str
    """Simulator of `base`: another one only where that was asked for."""
    metric: str
    slice: str
    arm: str
    baseline: str
    """'' for the arm's own scores; an arm: minus this one in the same run; `literal`: minus the same explanations read
    literally, unit by unit."""
    mean: float | None
    """Of `run`, over its scored units (and over its replicates, where there are several)."""
    low: float | None
    """Lower bound of its interval, as the run's own tables have it."""
    high: float | None
    """Its upper bound."""
    n: int
    """Scored units of the arm in `run`."""
    base_mean: float | None
    """The same of `base`."""
    base_low: float | None
    """Lower bound of its interval."""
    base_high: float | None
    """Its upper bound."""
    base_n: int
    """Scored units of the arm in `base`."""
    paired: int | None
    """Units of the arm that are the same in both runs and scored in both, over which the difference is taken; None
    where units are not the same, and the difference is that of two independent means."""
    unpaired: str
    """Why the arm's units are not taken for the same; '' where they are."""
    same_explanations: int | None
    """Of `paired`: units that have the same explanation in both runs."""
    difference: float | None
    """`run` minus `base`; with a baseline arm a difference of differences."""
    difference_low: float | None
    """Lower bound of its interval: of the same units as that of a mean, else Welch's t; over replicates a t on their
    number."""
    difference_high: float | None
    """Its upper bound."""
    p: float | None
    """Two-sided: signs flipped (same units), Welch's t permuted (other units), or the tail of t (differences of
    differences, replicates); unadjusted."""
    family: str
    """`primary`: what was asked of the features, in the headline's cell, over all runs; `secondary`: all else of the
    metric; '' without p."""
    p_holm: float | None
    """Adjusted over the p of the row's family (Holm 1979)."""
    p_equivalent: float | None
    """Of two one-sided t tests that the difference is within the first run's `compare.margin` of 0; unadjusted."""
    p_equivalent_holm: float | None
    """The same, adjusted as `p_holm`."""
    smallest: float | None
    """The difference that a test at 5% would have found with 80% power."""
    superiority: float | None
    """P(a unit scores higher in `run`), ties counted half: of the same unit, or of any two; None for differences of
    arms and over replicates."""
    superiority_low: float | None
    """Lower bound of its interval."""
    superiority_high: float | None
    """Its upper bound."""
    replicates: int
    """Replicates of either run that the difference is over; 1: it is over units."""
    note: str = ""
    """What is special about the interval or the test."""
