"""Replicates: intervals over whole draws, the parts of a variance, and how well a second draw repeats a first.

A replicate draws anew what the study names: text, SAE, units, contexts, explanations or simulations. Its units are
nested in it where they are drawn anew too, and crossed with it where they stay the same. What lies below a unit
(contexts, answers) is in the unit's score already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy import stats

from autointerp.metrics.intervals import EQUAL, NONE, Interval

Draws = Float[np.ndarray, " replicate"]
Repeated = Float[np.ndarray, "unit replicate"]

ONE_REPLICATE = "one replicate has no standard error"
NEGATIVE = "the estimate is below 0: set to 0"
_ROUNDING = 1e-20
"""Share of a mean square below which another is what rounding leaves of equal scores."""
NOT_TOLD_APART = "a unit is met once: its spread holds the residual too"


@dataclass(frozen=True)
class Component:
    """A part of a variance, never below 0, with its interval; None where it can't be estimated."""

    variance: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Anova:
    """Mean squares of the same units in every replicate, one value a cell (two-way, random effects)."""

    units: int
    replicates: int
    of_units: float
    of_replicates: float
    residual: float

    @property
    def residual_freedom(self) -> int:
        """Degrees of freedom of the residual."""
        return (self.units - 1) * (self.replicates - 1)


@dataclass(frozen=True)
class UnitSpread:
    """What an arm's units add to the variance of its mean in one replicate, and to that of the mean over all of them.

    Units that are drawn anew are in the spread of the replicates already; units that stay the same are not, and the
    mean over replicates is of these units alone unless their spread is added.
    """

    within: float
    """Variance of one replicate's mean that no replicate effect makes."""
    beside: float = 0.0
    """Variance of the mean over all replicates that their spread does not show; 0 for units drawn anew."""
    squares: tuple[tuple[float, int], ...] = ()
    """What `beside` is made of: variances and their degrees of freedom, for Satterthwaite's."""


def over_replicates(values: Draws, confidence: float) -> tuple[Interval, float | None]:
    """Mean of one value per replicate, its t interval on R - 1 degrees of freedom, and the two-sided p against 0.

    Covers as promised for R = 3, 5 and 10 whatever the replicates vary by; a bootstrap of so few draws does not, and a
    sign flip has no p below 2^(1 - R).
    """
    return with_units(values, (), confidence)


def with_units(values: Draws, held: Sequence[UnitSpread], confidence: float) -> tuple[Interval, float | None]:
    """As `over_replicates`, widened by units that are the same in every replicate.

    The variances add: var(values) / R, and `beside` of each held arm. Degrees of freedom by Satterthwaite (1946).
    """
    if not values.size:
        return Interval(None, note=NONE), None
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, note=ONE_REPLICATE), None
    known = error_with_units(values, held)
    if known is None:
        return Interval(mean, note=EQUAL), None
    error, freedom = known
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Interval(mean, mean - half, mean + half), p


def error_with_units(values: Draws, held: Sequence[UnitSpread]) -> tuple[float, float] | None:
    """Standard error of that mean and its degrees of freedom, of two replicates or more; None where nothing varies."""
    of_draws = float(values.var(ddof=1)) / values.size
    variance = of_draws + sum(max(0.0, one.beside) for one in held)
    if variance == 0:
        return None
    parts = [(of_draws, values.size - 1), *(part for one in held if one.beside > 0 for part in one.squares)]
    return float(np.sqrt(variance)), variance**2 / sum(part**2 / degrees for part, degrees in parts)


def nested_spread(replicates: Sequence[Float[np.ndarray, " _"]]) -> UnitSpread | None:
    """Of an arm whose units are drawn anew: the mean over replicates of s^2 / n; None where none has two units."""
    known = [float(values.var(ddof=1)) / values.size for values in replicates if values.size > 1]
    return UnitSpread(float(np.mean(known))) if known else None


def crossed_spread(values: Repeated) -> UnitSpread | None:
    """Of an arm whose units stay the same: only the residual varies a replicate's mean; None below two units."""
    found = anova(values)
    if found is None:
        return None
    n, replicates = found.units, found.replicates
    shared = (found.of_units / (n * replicates), n - 1), (found.residual / (n * replicates), found.residual_freedom)
    return UnitSpread(found.residual / n, (found.of_units - found.residual) / (n * replicates), shared)


def between(values: Draws, within: float, confidence: float) -> Component:
    """Variance of the replicates themselves: that of `values` less `within`, what the units give by chance.

    The interval is of chi-squared on R - 1 degrees for the variance of `values`, less `within`, cut at 0.
    """
    if values.size < 2:
        return Component(None, note=ONE_REPLICATE)
    total, freedom = float(values.var(ddof=1)), values.size - 1
    low, high = _chi_squared(total, freedom, confidence)
    return _component(total - within, low - within, high - within)


def nested_units(replicates: Sequence[Float[np.ndarray, " _"]], confidence: float) -> Component:
    """Variance of units within a replicate, pooled over replicates; their residual is in it (normal theory)."""
    kept = [values for values in replicates if values.size > 1]
    freedom = sum(values.size - 1 for values in kept)
    if not freedom:
        return Component(None, note=NONE)
    pooled = sum(float(values.var(ddof=1)) * (values.size - 1) for values in kept) / freedom
    low, high = _chi_squared(pooled, freedom, confidence)
    return Component(pooled, low, high, NOT_TOLD_APART)


def anova(values: Repeated) -> Anova | None:
    """Mean squares of units, replicates and residual; None below two of either."""
    n, replicates = values.shape
    if n < 2 or replicates < 2:
        return None
    grand, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    left = values - rows[:, None] - columns[None, :] + grand
    freedom = (n - 1) * (replicates - 1)
    return Anova(
        n,
        replicates,
        float(replicates * ((rows - grand) ** 2).sum() / (n - 1)),
        float(n * ((columns - grand) ** 2).sum() / (replicates - 1)),
        float((left**2).sum() / freedom),
    )


def crossed_components(found: Anova, confidence: float) -> dict[str, Component]:
    """`unit`, `replicate` and `residual` variance of one score, from the expected mean squares.

    The residual's interval is exact for normal scores; the other two are those of their mean square less the residual,
    which is taken as known.
    """
    n, replicates, residual = found.units, found.replicates, found.residual
    parts = {
        "unit": (found.of_units, n - 1, replicates),
        "replicate": (found.of_replicates, replicates - 1, n),
    }
    made = {}
    for name, (square, freedom, times) in parts.items():
        ends = _chi_squared(square, freedom, confidence)
        made[name] = _component(*((value - residual) / times for value in (square, *ends)))
    ends = _chi_squared(residual, found.residual_freedom, confidence)
    return {**made, "residual": Component(residual, *ends)}


def retest(found: Anova, confidence: float) -> Interval:
    """ICC(2,1): how far one replicate's scores of these units are those of another (Shrout and Fleiss 1979).

    Random units, random replicates, absolute agreement, a single replicate; at most 1, and below 0 where replicates
    agree less than chance. Interval by McGraw and Wong (1996), case 2A.
    """
    n, k, units, draws, residual = found.units, found.replicates, found.of_units, found.of_replicates, found.residual
    whole = units + (k - 1) * residual + k * (draws - residual) / n
    if whole == 0:
        return Interval(None, note=EQUAL)
    value = (units - residual) / whole
    if residual <= _ROUNDING * units:
        return Interval(value, note=EQUAL)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * draws + b * residual) ** 2 / (
        (a * draws) ** 2 / (k - 1) + (b * residual) ** 2 / found.residual_freedom
    )
    above = float(stats.f.ppf((1 + confidence) / 2, n - 1, freedom))
    below = float(stats.f.ppf((1 + confidence) / 2, freedom, n - 1))
    rest = k * draws + (k * n - k - n) * residual
    low = n * (units - above * residual) / (above * rest + n * units)
    high = n * (below * units - residual) / (rest + n * below * units)
    return Interval(value, low, high)


def consistency(found: Anova, confidence: float) -> Interval:
    """ICC(3,1): the same agreement but for what shifts all units of a replicate alike; the interval is exact by F.

    It is the share of the units in unit and residual (Shrout and Fleiss 1979).
    """
    n, k = found.units, found.replicates
    if found.of_units + (k - 1) * found.residual == 0:
        return Interval(None, note=EQUAL)
    if found.residual <= _ROUNDING * found.of_units:
        return Interval(1.0, note=EQUAL)
    ratio, tail = found.of_units / found.residual, (1 + confidence) / 2
    low = ratio / float(stats.f.ppf(tail, n - 1, found.residual_freedom))
    high = ratio * float(stats.f.ppf(tail, found.residual_freedom, n - 1))
    value, lowest, highest = ((one - 1) / (one + k - 1) for one in (ratio, low, high))
    return Interval(value, lowest, highest)


def rank_agreement(values: Repeated) -> float | None:
    """Spearman correlation of the units' scores, averaged over all pairs of replicates; None where there is none."""
    pairs = list(combinations(range(values.shape[1]), 2))
    if values.shape[0] < 2 or not pairs or (values.max(axis=0) == values.min(axis=0)).any():
        return None
    return float(np.mean([stats.spearmanr(values[:, a], values[:, b]).statistic for a, b in pairs]))


def top_agreement(values: Repeated) -> float | None:
    """How much of the best quarter of the units is in the best quarter of another replicate, over all pairs, in [0, 1].

    By chance it is a quarter. None below four units or two replicates.
    """
    best = values.shape[0] // 4
    pairs = list(combinations(range(values.shape[1]), 2))
    if not best or not pairs:
        return None
    tops = [set(np.argsort(-column, kind="stable")[:best]) for column in values.T]
    return float(np.mean([len(tops[a] & tops[b]) / best for a, b in pairs]))


def covered(error: float, varies_by: float, confidence: float) -> float:
    """How often an interval of one replicate covers, made of its units' standard error alone, if replicates vary.

    `varies_by` is their standard deviation, on the scale of `error`; normal theory.
    """
    reach = stats.norm.ppf((1 + confidence) / 2) * error / np.hypot(error, varies_by)
    return float(2 * stats.norm.cdf(reach) - 1)


def _chi_squared(square: float, freedom: int, confidence: float) -> tuple[float, float]:
    """Interval of a variance whose estimate is `square`."""
    tail = (1 - confidence) / 2
    whole = square * freedom
    return whole / float(stats.chi2.ppf(1 - tail, freedom)), whole / float(stats.chi2.ppf(tail, freedom))


def _component(value: float, low: float, high: float) -> Component:
    return Component(max(0.0, value), max(0.0, low), max(0.0, high), NEGATIVE if value < 0 else "")
