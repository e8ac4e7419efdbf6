"""The rows of the tables in which a subject is held against the same subject with scrambled weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScrambledRow:
    """The subject's own units held against those of scrambled subjects. Only in runs that have some."""

    scorer: str
    """Simulator or judge."""
    metric: str
    slice: str
    arm: str
    """The feature arm."""
    baseline: str
    """What it is held against in its own subject."""
    scheme: str
    """How its weights were scrambled: `permuted` or `init`."""
    subject: str
    """One scrambled subject, or '' for all seeds of the scheme together."""
    measure: str
    """`features`, `baseline`, or `difference` (features minus baseline)."""
    own: float | None
    """Mean of the measure in the subject itself."""
    scrambled: float | None
    """The same in the scrambled subjects, a mean over their means."""
    difference: float | None
    """`own` minus `scrambled`; of `difference` a difference in differences."""
    low: float | None
    """Lower bound of its interval: Welch's t, over units, and over seeds where there are three or more."""
    high: float | None
    """Its upper bound."""
    p: float | None
    """Of the same t, two-sided; unadjusted."""
    subjects: int
    """Scrambled subjects."""
    n: int
    """Scored units in the subject itself."""
    n_scrambled: int
    """Scored units in the scrambled ones, all together."""
    note: str = ""
    """What is special about the interval."""


@dataclass(frozen=True)
class MeasureRow:
    """One measure of units, in the subject itself and in all scrambled subjects of a scheme. Exploratory.

    Only in runs with scrambled subjects. Means over units, in the measure's own scale; intervals and p as in
    `scrambled`.
    """

    arm: str
    """The feature arm."""
    baseline: str
    """The arm of neurons that it is held against; '' without one."""
    scheme: str
    """How the weights were scrambled: `permuted` or `init`."""
    scorer: str
    """Simulator or judge; `evidence` for what the evidence alone says."""
    metric: str
    """As in `scores`; of `evidence` a column of `covariates`, or `eligible`: 1 for a unit that could be sampled, else
    0, over all units of the arm, not those drawn alone."""
    slice: str
    """'' for `evidence`."""
    pairing: str
    """`own`, `list` or `description`: whose scores; '' for `evidence`."""
    minus: str
    """What was taken off the score of each unit: `literal` or `lookup`, by their own explanations; '' for nothing."""
    features: float | None
    """Mean of the features of the subject itself."""
    features_scrambled: float | None
    """Mean of those of the scrambled subjects, over their means."""
    features_difference: float | None
    """The first less the second."""
    features_low: float | None
    """Lower bound of its interval."""
    features_high: float | None
    """Its upper bound."""
    features_p: float | None
    """Of the same t; unadjusted."""
    features_p_holm: float | None
    """Holm's adjustment over all measures of this arm and scheme."""
    neurons: float | None
    """The same five of the neurons: in the subject itself,"""
    neurons_scrambled: float | None
    """in the scrambled ones,"""
    neurons_difference: float | None
    """the first less the second,"""
    neurons_low: float | None
    """lower bound"""
    neurons_high: float | None
    """and upper bound of its interval."""
    difference: float | None
    """`features_difference` less `neurons_difference`: the difference in differences."""
    low: float | None
    """Lower bound of its interval."""
    high: float | None
    """Its upper bound."""
    p: float | None
    """Of the same t; unadjusted."""
    p_holm: float | None
    """Holm's adjustment over all measures of this arm and scheme."""
    subjects: int
    """Scrambled subjects."""
    n_features: int
    """Units of the features' mean in the subject itself."""
    n_features_scrambled: int
    """Those in the scrambled ones, all together."""
    n_neurons: int
    """The same of the neurons."""
    n_neurons_scrambled: int
    """The same of the neurons."""
    note: str = ""
    """What is special about the difference in differences or its interval."""
