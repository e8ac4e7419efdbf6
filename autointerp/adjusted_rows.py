"""The rows of the tables in which arms are compared with how far a token alone determines their units held equal."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.records import Status


@dataclass(frozen=True)
class CovariateRow:
    """What the evidence alone says of a unit: how often it is active, and how far the token alone determines it."""

    unit: str
    replicate: int
    arm: str
    log_density: float | None
    """Natural logarithm of the share of evidence tokens on which it is active."""
    peak_entropy: float | None
    """Entropy in bits of the tokens under the peaks of its top contexts; 0 where all peak on one token."""
    peak_log_frequency: float | None
    """Natural logarithm of the share of evidence tokens that are such a token, a mean over the top contexts."""
    table_score: float | None
    """Pearson correlation of its activations with a table of mean activation per token, cross-fitted: the table is of
    one half of its top and random contexts, the tokens of the other; a mean over both ways."""
    peak_entropy_halves: tuple[float, ...]
    """The same from either half of the top contexts; empty where it is unknown."""
    peak_log_frequency_halves: tuple[float, ...]
    """The same from either half of the top contexts; empty where it is unknown."""
    table_score_halves: tuple[float, ...]
    """The same from either half of the contexts, each cut in two again; empty where it is unknown."""
    status: Status
    """`ok` where every covariate is known."""
    reason: str


@dataclass(frozen=True)
class AdjustedRow:
    """A difference of two arms with covariates of their units held equal. A decomposition: they may be mediators."""

    scorer: str
    """Simulator or judge."""
    metric: str
    slice: str
    arm: str
    """The feature arm."""
    baseline: str
    """The arm that it is held against."""
    estimate: str
    """`raw`; `adjusted`: analysis of covariance, arm x covariate, at the mean of all units; `matched`: 1:1 within a
    caliper; `corrected`: as adjusted, without the noise of the covariates."""
    covariates: tuple[str, ...]
    """What is held equal; none for `raw`."""
    difference: float | None
    """Score of the arm minus that of the baseline; None where it can't be estimated."""
    low: float | None
    """Lower bound of its interval over units, of `matched` over pairs."""
    high: float | None
    """Its upper bound."""
    n: int
    """Units of the arm with a score and every covariate."""
    n_baseline: int
    """The same of the baseline."""
    pairs: int | None = None
    """Units of the arm that have a partner in the baseline; None for `raw`."""
    share_matched: float | None = None
    """Pairs by units of the smaller arm. Below a quarter there is no common support, and no estimate."""
    before: tuple[float, ...] = ()
    """Standardised difference of the arms in each covariate, before matching."""
    after: tuple[float, ...] = ()
    """The same between matched units: below 0.1 in size they are balanced."""
    reliability: tuple[float, ...] = ()
    """Of each covariate, by halves, in [0, 1]; of `corrected` alone."""
    left_out: tuple[str, ...] = ()
    """Covariates in which the arms have no common support by themselves, so that they are not held equal."""
    note: str = ""
    """Why there is no number, or what is special about the interval."""
