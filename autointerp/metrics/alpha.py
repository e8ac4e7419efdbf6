"""How far raters agree: Krippendorff's alpha for ordinal data, with an interval over the units that were rated."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from autointerp.metrics.intervals import Interval, Resampling, blocks, few

NO_PAIRS = "no unit was rated twice"
NO_SPREAD = "all ratings are equal: agreement can't be told from a constant"

Ratings = Float[np.ndarray, "unit rater"]
"""NaN where a rater did not rate a unit."""


def ordinal_alpha(ratings: Ratings) -> Interval:
    """Krippendorff's alpha for ordinal data; at most 1, 0 for raters who agree as chance would; no interval.

    1 - observed / expected disagreement over all pairs of ratings of one unit, the distance of two values being the
    number of ratings between them, both ends counted half, squared (Krippendorff 2019, chapter 12). Units with fewer
    than two ratings have no pair and are left out. No value, with a note, where there is no pair or no spread.
    """
    pairs = _coincidences(ratings)
    if not len(pairs):
        return Interval(None, note=NO_PAIRS)
    alpha = float(_alphas(pairs.sum(axis=0)[None])[0])
    return Interval(alpha) if np.isfinite(alpha) else Interval(None, note=NO_SPREAD)


def alpha_interval(ratings: Ratings, plan: Resampling, rng: np.random.Generator) -> Interval:
    """The same with a percentile bootstrap interval over units, the raters being these ones.

    Resamples without spread have no alpha and are left out. Simulated with 3 raters the nominal 95%
    cover 0.91 at 15 units, 0.95 at 30 and 0.93 at 80.
    """
    found = ordinal_alpha(ratings)
    if found.value is None:
        return found
    pairs = _coincidences(ratings)
    units = len(pairs)
    if units == 1:
        return Interval(found.value, note="one unit has no spread")
    flat, values = pairs.reshape(units, -1), pairs.shape[1]
    alphas = []
    for rows in blocks(plan.resamples, units + 3 * values * values):
        weights = rng.multinomial(units, np.full(units, 1 / units), size=rows)
        alphas.append(_alphas((weights @ flat).reshape(rows, values, values)))
    drawn = np.concatenate(alphas)
    drawn = drawn[np.isfinite(drawn)]
    edge = (1 - plan.confidence) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge]) if drawn.size else (np.nan, np.nan)
    if not np.isfinite(low):
        return Interval(found.value, note=NO_SPREAD)
    return Interval(found.value, float(low), float(high), few(units, "units"))


def _coincidences(ratings: Ratings) -> Float[np.ndarray, "pairable value value"]:
    """Of each unit with two ratings or more: how often each pair of values stands in it, over its ratings less one."""
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[:, :, None] == values).sum(axis=1).astype(np.float64)
    counts = counts[counts.sum(axis=1) > 1]
    of_value = np.einsum("uv,vw->uvw", counts, np.eye(values.size))
    pairs: Float[np.ndarray, "pairable value value"] = counts[:, :, None] * counts[:, None, :] - of_value
    found: Float[np.ndarray, "pairable value value"] = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return found


def _alphas(pairs: Float[np.ndarray, "sample value value"]) -> Float[np.ndarray, " sample"]:
    """Alpha of coincidence matrices; NaN where there is no spread."""
    totals = pairs.sum(axis=2)
    upto = totals.cumsum(axis=1) - totals / 2  # to the middle of each value's ratings
    distance = (upto[:, :, None] - upto[:, None, :]) ** 2
    observed = (pairs * distance).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2))
    spread = expected > 0
    ratio = (totals.sum(axis=1) - 1) * observed / np.where(spread, expected, 1.0)
    return np.where(spread, 1 - ratio, np.nan)
