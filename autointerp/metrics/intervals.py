"""Intervals and tests over units: the unit is the sample, its contexts are not.

One observation has no standard error, and values that are all equal have no spread to resample: both give no
interval, with a note, and never one of width 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Num
from scipy import stats
from scipy.special import expit, logit
from scipy.stats import DegenerateDataWarning, bootstrap

Sample = Float[np.ndarray, " unit"]
Other = Float[np.ndarray, " other_unit"]
Samples = tuple[Num[np.ndarray, " _"], ...]

ONE = "one observation has no standard error"
NONE = "no scored unit"
EQUAL = "all values are equal: no interval"
PERCENTILE = "percentile interval (BCa is undefined here)"
FEW = 10
"""Under this many units a bootstrap interval is known to be too narrow, and the note says so."""

_BLOCK = 2_000_000  # numbers in memory at once, so that resampling thousands of units stays small
_TIE = 1 - 1e-12  # the observed arrangement must tie with itself whatever the order of its sums


@dataclass(frozen=True)
class Resampling:
    """How intervals and p-values are made."""

    resamples: int
    """Bootstrap resamples, and permutations."""
    confidence: float
    """Of the intervals, for example 0.95."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval; None where there is none, with the reason in the note."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Contrast:
    """A difference of means with its interval and test."""

    difference: Interval
    above: Interval = Interval(None)
    """Probability that a random unit of the first sample scores above one of the second, ties counted half."""
    p: float | None = None
    """Two-sided."""
    error: float | None = None
    """Standard error of the difference (Welch's for two samples); None without spread."""
    freedom: float | None = None
    """Its degrees of freedom (Welch's for two samples)."""


def _mean(values: Float[np.ndarray, "*batch unit"], axis: int = -1) -> Any:
    return values.mean(axis=axis)


def _median(values: Float[np.ndarray, "*batch unit"], axis: int = -1) -> Any:
    return np.median(values, axis=axis)


def _difference(
    first: Float[np.ndarray, "*batch unit"], second: Float[np.ndarray, "*batch2 unit2"], axis: int = -1
) -> Any:
    return first.mean(axis=axis) - second.mean(axis=axis)


STATISTICS: Mapping[str, Callable[..., Any]] = {"mean": _mean, "median": _median}


def interval(values: Sample, statistic: str, plan: Resampling, rng: np.random.Generator) -> Interval:
    """BCa bootstrap interval of the `mean` or `median` over units (Efron 1987)."""
    if not values.size:
        return Interval(None, note=NONE)
    return bootstrapped((values,), STATISTICS[statistic], plan, rng)


def contrast(first: Sample, second: Other, plan: Resampling, rng: np.random.Generator) -> Contrast:
    """Mean of `first` minus mean of `second`, two independent samples of units.

    BCa interval; the p-value is a permutation test of Welch's t (Janssen 1997): permuting the plain difference tests
    equal distributions, this one tests equal means also when the spreads differ. Where no drawn arrangement is as
    extreme it is the tail of Welch's t, so that it doesn't end where the number of permutations does.
    """
    if not first.size or not second.size:
        return Contrast(Interval(None, note=NONE))
    difference = bootstrapped((first, second), _difference, plan, rng)
    p = _permuted_p(first, second, plan, rng) if min(first.size, second.size) > 1 else None
    return Contrast(difference, _superiority_interval(first, second, plan), p, *_welch_error(first, second))


def paired_contrast(first: Sample, second: Sample, plan: Resampling, rng: np.random.Generator) -> Contrast:
    """Mean of `first` minus `second`, unit by unit: entry i of both belongs to the same unit.

    BCa interval over units. The p-value flips the sign of each unit's difference at random; since the sum of squares
    does not change with the signs, |t| rises with |mean|, so the studentised test is the plain one. Where no drawn
    pattern is as extreme it is the tail of Student's t.
    """
    if not first.size:
        return Contrast(Interval(None, note=NONE))
    each = first - second
    difference = bootstrapped((each,), _mean, plan, rng)
    above = Interval(float((each > 0).mean() + 0.5 * (each == 0).mean()))
    if each.size < 2:
        return Contrast(difference, above)
    error = float(each.std(ddof=1) / np.sqrt(each.size)) or None
    return Contrast(difference, above, _flipped_p(each, plan, rng), error, each.size - 1.0)


def superiority(first: Sample, second: Other) -> float:
    """Probability that a unit of `first` is above one of `second`, ties counted half (Mann and Whitney's U / nm)."""
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    not_above = np.searchsorted(ordered, first, side="right")
    return float((below + not_above).mean() / (2 * second.size))


def _superiority_interval(first: Sample, second: Other, plan: Resampling) -> Interval:
    """Wald's interval on the logit, its variance from the placements (DeLong 1988); none at 0 or 1 or of one unit."""
    value = superiority(first, second)
    if min(first.size, second.size) < 2 or not 0 < value < 1:
        return Interval(value)
    placed = np.array([superiority(np.array([one]), second) for one in first])
    beaten = np.array([superiority(first, np.array([one])) for one in second])
    error = np.sqrt(placed.var(ddof=1) / first.size + beaten.var(ddof=1) / second.size) / (value * (1 - value))
    t = stats.norm.ppf((1 + plan.confidence) / 2)
    low, high = (float(expit(logit(value) + side * t * error)) for side in (-1, 1))
    return Interval(value, low, high)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment over all that are not None; the rest stay None (Holm 1979)."""
    known = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, position) in enumerate(known):
        running = max(running, (len(known) - rank) * p)
        adjusted[position] = min(running, 1.0)
    return adjusted


def bootstrapped(
    samples: Samples, statistic: Callable[..., Any], plan: Resampling, rng: np.random.Generator
) -> Interval:
    """BCa bootstrap interval of a statistic of independent samples of units, or of the places of units.

    `statistic` takes as many arrays as there are samples, and `axis`, and works along the last axis.
    """
    value = float(statistic(*samples))
    if min(s.size for s in samples) == 1:
        return Interval(value, note=ONE)
    if all(s.max() == s.min() for s in samples):
        return Interval(value, note=EQUAL)
    result = _resample(samples, statistic, plan, rng, "BCa", None)
    note = few(min(s.size for s in samples), "units")
    if not np.isfinite(result.confidence_interval).all():
        # The same resamples give the simpler interval; a median with many ties has no usable jackknife.
        result = _resample(samples, statistic, plan, rng, "percentile", result)
        note = "; ".join(n for n in (PERCENTILE, note) if n)
    low, high = result.confidence_interval
    return Interval(value, float(low), float(high), note)


def few(count: int, what: str) -> str:
    """The note of an interval over `count` things; '' where they are enough."""
    return f"only {count} {what}: the interval is too narrow" if count < FEW else ""


def _resample(
    samples: Samples,
    statistic: Callable[..., Any],
    plan: Resampling,
    rng: np.random.Generator,
    method: Literal["BCa", "percentile"],
    earlier: Any,
) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # answered by the percentile interval and its note
        warnings.simplefilter("ignore", RuntimeWarning)  # 0/0 in the acceleration: the same case
        return bootstrap(
            samples,
            statistic,
            n_resamples=0 if earlier is not None else plan.resamples,
            batch=max(1, _BLOCK // max(s.size for s in samples)),
            vectorized=True,
            confidence_level=plan.confidence,
            method=method,
            bootstrap_result=earlier,
            rng=rng,
        )


def _welch(
    first: Float[np.ndarray, "permutation n"], second: Float[np.ndarray, "permutation m"]
) -> Float[np.ndarray, " permutation"]:
    """|t| of Welch per row; 0 when nothing differs, infinite when only the means do."""
    difference = np.abs(first.mean(axis=1) - second.mean(axis=1))
    error = np.sqrt(first.var(axis=1, ddof=1) / first.shape[1] + second.var(axis=1, ddof=1) / second.shape[1])
    spread = np.where(error > 0, error, 1.0)
    return np.where(error > 0, difference / spread, np.where(difference > 0, np.inf, 0.0))


def _welch_error(first: Sample, second: Other) -> tuple[float | None, float | None]:
    """Standard error of the difference of means, and Welch's degrees of freedom; None without spread or with one."""
    if min(first.size, second.size) < 2:
        return None, None
    parts = np.array([sample.var(ddof=1) / sample.size for sample in (first, second)])
    if not parts.sum() > 0:
        return None, None
    freedom = parts.sum() ** 2 / (parts**2 / (np.array([first.size, second.size]) - 1)).sum()
    return float(np.sqrt(parts.sum())), float(freedom)


def _tail(t: float, freedom: float, extreme: int, plan: Resampling) -> float:
    """The share of arrangements as extreme, or the tail of t where that share is below what was drawn can show."""
    share = (extreme + 1) / (plan.resamples + 1)
    return share if extreme or not np.isfinite(t) else min(share, 2 * float(stats.t.sf(abs(t), freedom)))


def _permuted_p(first: Sample, second: Other, plan: Resampling, rng: np.random.Generator) -> float:
    pooled = np.concatenate([first, second])
    observed = _welch(first[None, :], second[None, :])[0] * _TIE
    extreme = 0
    for rows in blocks(plan.resamples, pooled.size):
        permuted = rng.permuted(np.broadcast_to(pooled, (rows, pooled.size)), axis=1)
        extreme += int((_welch(permuted[:, : first.size], permuted[:, first.size :]) >= observed).sum())
    error, freedom = _welch_error(first, second)
    t = (first.mean() - second.mean()) / error if error else np.inf
    return _tail(float(t), freedom or 1.0, extreme, plan)


def _flipped_p(each: Sample, plan: Resampling, rng: np.random.Generator) -> float:
    observed = abs(float(each.mean())) * _TIE
    extreme = 0
    for rows in blocks(plan.resamples, each.size):
        signs = rng.integers(0, 2, size=(rows, each.size), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ each) / each.size >= observed).sum())
    error = each.std(ddof=1) / np.sqrt(each.size)
    return _tail(float(each.mean() / error) if error > 0 else np.inf, each.size - 1.0, extreme, plan)


def blocks(total: int, width: int) -> list[int]:
    """How many of `total` resamples of `width` numbers each to make at a time, so that memory stays small."""
    block = max(1, _BLOCK // width)
    return [min(block, total - start) for start in range(0, total, block)]
