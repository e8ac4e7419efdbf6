"""Differences of scores over units: intervals, tests, and how often one unit is above another.

The unit is the sample. One observation gives no interval and no test, and values that are all equal no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import expit, logit

from autointerp.metrics.intervals import (
    EQUAL,
    NONE,
    ONE,
    Interval,
    Other,
    Resampling,
    Sample,
    blocks,
    bootstrapped,
    few,
    mean_interval,
    median_of,
)

_UNKNOWN = Interval(None)
_TIE = 1 - 1e-12  # the observed arrangement must tie with itself whatever the order of its sums


@dataclass(frozen=True)
class Contrast:
    """A difference of means with its interval and test."""

    difference: Interval
    above: Interval = _UNKNOWN
    """Probability that a random unit of the first sample scores above one of the second, ties counted half."""
    p: float | None = None
    """Two-sided."""
    error: float | None = None
    """Standard error of the difference (Welch's for two samples); None without spread."""
    freedom: float | None = None
    """Its degrees of freedom (Welch's for two samples)."""
    medians: Interval = _UNKNOWN
    """Difference of medians, of two samples alone."""


def contrast(first: Sample, second: Other, plan: Resampling, rng: np.random.Generator) -> Contrast:
    """Mean of `first` minus mean of `second`, two independent samples of units.

    Welch's t interval (1947), which covers unequal spreads and few units better than a bootstrap does; for medians BCa.
    The p-value is a permutation test of Welch's t (Janssen 1997): permuting the plain difference tests equal
    distributions, this one tests equal means also when the spreads differ. Where no drawn arrangement is as extreme it
    is the tail of Welch's t, so that it doesn't end where the number of permutations does.
    """
    if not first.size or not second.size:
        return Contrast(Interval(None, note=NONE))
    error, freedom = _welch_error(first, second)
    difference = welch_interval(first, second, plan.confidence)
    p = _permuted_p(first, second, plan, rng) if min(first.size, second.size) > 1 else None
    medians = bootstrapped((first, second), _difference_of_medians, plan, rng)
    return Contrast(difference, _superiority_interval(first, second, plan), p, error, freedom, medians)


def welch_interval(first: Sample, second: Other, confidence: float) -> Interval:
    """Difference of the means of two samples with Welch's t interval; none, and a note, without any spread."""
    value, fewest = float(first.mean() - second.mean()), min(first.size, second.size)
    error, freedom = _welch_error(first, second)
    if error is None or freedom is None:
        return Interval(value, note=ONE if fewest == 1 else EQUAL)
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Interval(value, value - half, value + half, few(fewest, "units"))


def _difference_of_medians(
    first: Float[np.ndarray, "*batch unit"], second: Float[np.ndarray, "*batch2 unit2"], axis: int = -1
) -> Float[np.ndarray, "*batch3"]:
    return np.asarray(median_of(first, axis) - median_of(second, axis))


def paired_contrast(first: Sample, second: Sample, plan: Resampling, rng: np.random.Generator) -> Contrast:
    """Mean of `first` minus `second`, unit by unit: entry i of both belongs to the same unit.

    Interval as that of one mean, of the units' differences. The p-value flips the sign of each unit's
    difference at random; since the sum of squares does not change with the signs, |t| rises with |mean|, so the
    studentised test is the plain one. Where no drawn pattern is as extreme it is the tail of Student's t.
    """
    if not first.size:
        return Contrast(Interval(None, note=NONE))
    each = first - second
    difference = mean_interval(each, plan, rng)
    above = _paired_superiority(each, plan)
    if each.size < 2:
        return Contrast(difference, above)
    error = float(each.std(ddof=1) / np.sqrt(each.size)) or None
    return Contrast(difference, above, _flipped_p(each, plan, rng), error, each.size - 1.0)


def weighted_sum(parts: Sequence[tuple[float, Float[np.ndarray, " _"]]], confidence: float) -> Contrast:
    """A sum of weighted means of independent samples of units, with its t interval and two-sided test.

    Welch (1947) with the degrees of freedom of Satterthwaite (1946); of two samples with weights 1 and -1 it is the
    interval of `contrast`. For differences in differences, whose parts may be units or differences of the same units.
    """
    if not all(values.size for _, values in parts):
        return Contrast(Interval(None, note=NONE))
    value = float(sum(weight * values.mean() for weight, values in parts))
    if any(values.size == 1 for _, values in parts):
        return Contrast(Interval(value, note=ONE))
    varying = [(weight, values) for weight, values in parts if values.max() > values.min()]
    each = [(weight**2 * float(values.var(ddof=1)) / values.size, values.size - 1) for weight, values in varying]
    variance = sum(part for part, _ in each)
    if not variance > 0:
        return Contrast(Interval(value, note=EQUAL))
    freedom, error = variance**2 / sum(part**2 / degrees for part, degrees in each), float(np.sqrt(variance))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(value) / error, freedom))
    note = few(min(values.size for _, values in parts), "units")
    return Contrast(Interval(value, value - half, value + half, note), p=p, error=error, freedom=freedom)


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


def _paired_superiority(each: Sample, plan: Resampling) -> Interval:
    """Share of units whose first score is above their second, ties half, with Wilson's interval (1927).

    Within [0, 1], also where all units agree; with ties it is wider than it need be.
    """
    n, share = each.size, float((each > 0).mean() + 0.5 * (each == 0).mean())
    if n < 2:
        return Interval(share)
    z = float(stats.norm.ppf((1 + plan.confidence) / 2))
    middle, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = (float((middle + side * half) / (1 + z**2 / n)) for side in (-1, 1))
    return Interval(share, max(0.0, low), min(1.0, high))


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
    varies = [sample.max() > sample.min() for sample in (first, second)]  # equal values may have a variance of 1e-34
    parts = np.array([sample.var(ddof=1) / sample.size for sample in (first, second)]) * varies
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
