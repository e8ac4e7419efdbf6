"""Intervals where every rater rates every unit: both are samples, and both are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from autointerp.metrics.intervals import NONE, Interval, Resampling, blocks, few

Ratings = Float[np.ndarray, "unit rater"]
"""NaN where a rater did not rate a unit."""
Sample = Float[np.ndarray, "_ rater"]
"""The same where several samples differ in their number of units."""
Means = Float[np.ndarray, "*resample _"]
"""A value per unit, the mean over its raters; NaN where none of the drawn raters rated it."""
ONE_RATER = "one rater: the interval is over units, for this rater alone"
_FEW_RATERS = 5


def of_units(ratings: Ratings) -> Float[np.ndarray, " unit"]:
    """The mean over a unit's raters; NaN for a unit that nobody rated."""
    rated = ~np.isnan(ratings)
    counts = rated.sum(axis=1)
    return np.where(counts > 0, np.where(rated, ratings, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def median_over(means: Means) -> Any:
    """Median over units, those without a value left out; NaN where none is left."""
    ordered = np.sort(means, axis=-1)  # NaN last
    counts = (~np.isnan(means)).sum(axis=-1)
    low, high = np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, means.shape[-1] - 1)
    first, second = (np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0] for place in (low, high))
    return np.where(counts > 0, (first + second) / 2, np.nan)


def median_difference(first: Means, second: Means) -> Any:
    """Median of the first sample's units less that of the second's."""
    return median_over(first) - median_over(second)


def superiority(first: Means, second: Means) -> Any:
    """P(a unit of the first sample lies above one of the second), ties counted half, in [0, 1]."""
    there = ~np.isnan(first)[..., :, None] & ~np.isnan(second)[..., None, :]
    apart = first[..., :, None] - second[..., None, :]
    wins = np.where(there, (apart > 0) + 0.5 * (apart == 0), 0.0).sum(axis=(-2, -1))
    pairs = there.sum(axis=(-2, -1))
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)


def crossed_interval(
    samples: Sequence[Sample], statistic: Callable[..., Any], plan: Resampling, rng: np.random.Generator
) -> Interval:
    """Percentile interval of a statistic of the units' means, from resamples of units and of raters (Owen 2007).

    `samples`: ratings of independent samples of units by the same raters, in the same columns: units are drawn inside
    each sample, raters once for all, so that who is severe with all of them cancels in a difference. With one rater
    units alone are drawn, and the note says so. Measured on simulated totals of 0 to 14 (24 units of spread 3, raters
    of spread 1, the rest 1.5; 600 draws): a median's nominal 95% cover 0.96 to 0.99 with 2 to 8 raters and 0.87 with
    one, those of a difference of two arms 0.97 to 0.99; with raters of spread 2 a median's cover 0.87, 0.91 and 0.94
    with 2, 3 and 5 of them, a difference's still 0.98.
    """
    means = [of_units(each) for each in samples]
    if any(not each.size or np.isnan(each).all() for each in means):
        return Interval(None, note=NONE)
    value = float(statistic(*means))
    sizes = [int((~np.isnan(each)).sum()) for each in means]
    if min(sizes) == 1:
        return Interval(value, note="one unit has no spread")
    samples = [each[~np.isnan(mean)] for each, mean in zip(samples, means, strict=True)]
    raters = samples[0].shape[1]
    drawn = []
    for rows in blocks(plan.resamples, sum(each.size for each in samples) + int(np.prod(sizes))):
        weights = rng.multinomial(raters, np.full(raters, 1 / raters), size=rows).astype(np.float64)
        drawn.append(statistic(*(_redrawn(each, weights, rng) for each in samples)))
    found = np.concatenate(drawn)
    found = found[np.isfinite(found)]
    edge = (1 - plan.confidence) / 2
    low, high = np.quantile(found, [edge, 1 - edge])
    of_raters = ONE_RATER if raters == 1 else f"only {raters} raters" if raters < _FEW_RATERS else ""
    notes = [of_raters, few(min(sizes), "units")]
    return Interval(value, float(low), float(high), "; ".join(note for note in notes if note))


def _redrawn(
    ratings: Ratings, weights: Float[np.ndarray, "resample rater"], rng: np.random.Generator
) -> Float[np.ndarray, "resample unit"]:
    """Units drawn again, each with its mean over the drawn raters."""
    rated = ~np.isnan(ratings)
    sums, counts = weights @ np.where(rated, ratings, 0.0).T, weights @ rated.T.astype(np.float64)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.take_along_axis(means, rng.integers(0, len(ratings), size=means.shape), axis=1)


def rank_correlation(
    first: Float[np.ndarray, " unit"], second: Float[np.ndarray, " unit"], plan: Resampling, rng: np.random.Generator
) -> Interval:
    """Spearman's correlation of two values of the same units, with a percentile bootstrap interval over units.

    No value, with a note, below 3 units and where one of the two is the same everywhere.
    """
    if first.size < 3:
        return Interval(None, note="fewer than 3 units")
    value = float(_spearman(first[None], second[None])[0])
    if not np.isfinite(value):
        return Interval(None, note="one of the two is the same everywhere")
    found = []
    for rows in blocks(plan.resamples, 4 * first.size):
        places = rng.integers(0, first.size, size=(rows, first.size))
        found.append(_spearman(first[places], second[places]))
    drawn = np.concatenate(found)
    edge = (1 - plan.confidence) / 2
    low, high = np.quantile(drawn[np.isfinite(drawn)], [edge, 1 - edge])
    return Interval(value, float(low), float(high), few(first.size, "units"))


def _spearman(
    first: Float[np.ndarray, "sample unit"], second: Float[np.ndarray, "sample unit"]
) -> Float[np.ndarray, " sample"]:
    ranks = [rankdata(each, axis=1) for each in (first, second)]
    off = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    sizes = np.sqrt((off[0] ** 2).sum(axis=1) * (off[1] ** 2).sum(axis=1))
    return np.where(sizes > 0, (off[0] * off[1]).sum(axis=1) / np.where(sizes > 0, sizes, 1.0), np.nan)
