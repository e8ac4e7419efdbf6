"""A difference of two arms with covariates of their units held equal: by regression, by matching, corrected for noise.

Each is a decomposition and not the truth: what is held equal may be how an arm gets its scores, and not beside it.
Where the arms hardly meet in a covariate there is no estimate, since it would be made of the model alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import stats
from scipy.optimize import linear_sum_assignment

from autointerp.metrics.intervals import FEW, Interval, Resampling, bootstrapped, mean_interval

Scores: TypeAlias = Float[np.ndarray, " unit"]
Covariates: TypeAlias = Float[np.ndarray, "unit covariate"]
Halves: TypeAlias = Float[np.ndarray, "2 unit covariate"]
"""The covariates from either half of what they are measured on; twice the same where they are free of noise."""

CALIPER = 0.2
"""Of matching, in standard deviations (Austin 2011)."""
SUPPORT = 0.25
"""Share of the smaller arm that has to find a partner within the caliper: else the arms hardly meet."""
RELIABLE = 0.5
"""Share of the variance of any combination of covariates, within an arm, that has to be no noise."""
NO_SUPPORT = "no common support"
COLLINEAR = "the covariates don't vary apart from each other"
TOO_FEW = "too few units for the covariates"
UNRELIABLE = "too noisy to correct"
_FORBIDDEN = 1e9  # above any sum of distances, so that as many pairs as can be are made


@dataclass(frozen=True)
class MeasuredArm:
    """Units of an arm that have a score and every covariate."""

    scores: Scores
    covariates: Covariates
    halves: Halves


@dataclass(frozen=True)
class Matching:
    """One unit of the first arm to one of the second."""

    difference: Interval
    """Mean paired difference of scores, with its interval over pairs."""
    pairs: int
    share: float
    """Pairs by units of the smaller arm, in [0, 1]."""
    before: tuple[float, ...]
    """Standardised difference of each covariate between the arms: of means, by the root of their mean variance."""
    after: tuple[float, ...]
    """The same between the matched units; none where there are none."""


def adjusted(first: MeasuredArm, second: MeasuredArm, confidence: float) -> Interval:
    """Difference of the arms at the mean of both arms' covariates, by analysis of covariance with arm x covariate.

    t interval of the standard error HC3 (MacKinnon and White 1985; Long and Ervin 2000), which allows unequal spreads.
    """
    scores = np.concatenate([first.scores, second.scores])
    in_first = np.repeat([1.0, 0.0], [first.scores.size, second.scores.size])
    covariates = np.concatenate([first.covariates, second.covariates])
    centred = covariates - covariates.mean(axis=0)
    design = np.column_stack([np.ones_like(in_first), in_first, centred, centred * in_first[:, None]])
    freedom = scores.size - design.shape[1]
    if min(first.scores.size, second.scores.size) < FEW + centred.shape[1]:
        return Interval(None, note=TOO_FEW)
    if np.linalg.matrix_rank(design / np.abs(design).max(axis=0).clip(1e-12)) < design.shape[1]:
        return Interval(None, note=COLLINEAR)
    q, r = np.linalg.qr(design)
    coefficients = np.linalg.solve(r, q.T @ scores)
    leverage = np.square(q).sum(axis=1)
    residual = (scores - design @ coefficients) / np.maximum(1 - leverage, 1e-9)
    of_effect = np.linalg.solve(r, q.T)[1]
    half = float(stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(np.square(of_effect * residual).sum()))
    value = float(coefficients[1])
    return Interval(value, value - half, value + half)


def matched(first: MeasuredArm, second: MeasuredArm, plan: Resampling, rng: np.random.Generator) -> Matching:
    """Optimal 1:1 matching without replacement: as many pairs as the caliper allows, at the least total distance.

    The caliper is on the linear discriminant of the arms, the logit of the propensity score for normal covariates of
    equal spread (Rosenbaum and Rubin 1983), the distance Mahalanobis's. Below 10 pairs, or where less than a quarter of
    the smaller arm is matched, there is no common support, and no estimate of any kind should be made.
    """
    a, b = first.covariates, second.covariates
    fewest = min(len(a), len(b))
    if fewest < FEW:
        return Matching(Interval(None, note=TOO_FEW), 0, 0.0, (), ())
    scale = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 2)
    if not (scale > 0).all():
        return Matching(Interval(None, note=COLLINEAR), 0, 0.0, (), ())
    a, b = a / scale, b / scale
    apart = a.mean(axis=0) - b.mean(axis=0)
    within = (_covariance(a) + _covariance(b)) / 2
    if np.linalg.matrix_rank(within) < len(within):
        return Matching(Interval(None, note=COLLINEAR), 0, 0.0, tuple(apart.tolist()), ())
    inverse = np.linalg.inv(within)
    discriminant = inverse @ apart
    each = a[:, None, :] - b[None, :, :]
    near = np.abs(each @ discriminant) <= CALIPER * np.sqrt(discriminant @ within @ discriminant)
    distance = np.sqrt(np.einsum("ijk,kl,ijl->ij", each, inverse, each))
    rows, columns = linear_sum_assignment(np.where(near, distance, _FORBIDDEN))
    kept = near[rows, columns]
    rows, columns = rows[kept], columns[kept]
    after = tuple((a[rows].mean(axis=0) - b[columns].mean(axis=0)).tolist()) if kept.any() else ()
    share = rows.size / fewest
    found = Interval(None, note=NO_SUPPORT)
    if rows.size >= FEW and share >= SUPPORT:
        found = mean_interval(first.scores[rows] - second.scores[columns], plan, rng)
    return Matching(found, int(rows.size), share, tuple(apart.tolist()), after)


def _covariance(values: Covariates) -> Float[np.ndarray, "covariate covariate"]:
    return np.atleast_2d(np.cov(values, rowvar=False))


def corrected(
    first: MeasuredArm, second: MeasuredArm, plan: Resampling, rng: np.random.Generator
) -> tuple[Interval, tuple[float, ...]]:
    """As `adjusted`, with slopes as if the covariates were measured without noise; and each covariate's reliability.

    Errors in variables by moments (Fuller 1987), the errors of different covariates independent. Reliability is the
    correlation of halves within arms, stepped up to the whole (Spearman 1910, Brown 1910), in [0, 1]. BCa bootstrap
    over units, the reliability estimated anew in each resample.
    """
    sizes = first.scores.size, second.scores.size
    if min(sizes) < FEW + first.covariates.shape[1]:
        return Interval(None, note=TOO_FEW), ()
    every = tuple(np.arange(size) for size in sizes)
    reliability = tuple(map(float, _reliability(_within((first, second), every))))
    variances = [_moments(arm, places)[1] for arm, places in zip((first, second), every, strict=True)]
    noise = _noise(_within((first, second), every), sum(sizes))
    for variance in variances:
        if np.linalg.matrix_rank(variance) < len(variance):
            return Interval(None, note=COLLINEAR), reliability
        if np.linalg.eigvals(np.linalg.solve(variance, variance - noise)).real.min() < RELIABLE:
            return Interval(None, note=UNRELIABLE), reliability

    def difference(
        i: Int[np.ndarray, "*batch unit"], j: Int[np.ndarray, "*batch2 unit2"], axis: int = -1
    ) -> Float[np.ndarray, "*batch3"]:
        shape = np.broadcast_shapes(i.shape[:-1], j.shape[:-1])
        return _corrected((first, second), tuple(np.broadcast_to(p, (*shape, p.shape[-1])) for p in (i, j)))

    return bootstrapped(every, difference, plan, rng), reliability


def _within(arms: tuple[MeasuredArm, MeasuredArm], places: tuple[Any, ...]) -> Float[np.ndarray, "4 *batch covariate"]:
    """Sums of squares within arms: of the first half, of the second, of their product, of the whole."""
    total: Any = 0.0
    for arm, chosen in zip(arms, places, strict=True):
        one, two, whole = (v[chosen] for v in (arm.halves[0], arm.halves[1], arm.covariates))
        one, two, whole = (v - v.mean(axis=-2, keepdims=True) for v in (one, two, whole))
        products = (one * one, two * two, one * two, whole * whole)
        total = total + np.stack([product.sum(axis=-2) for product in products])
    return np.asarray(total)


def _reliability(within: Float[np.ndarray, "4 *batch covariate"]) -> Float[np.ndarray, "*batch covariate"]:
    spread = np.sqrt(within[0] * within[1])
    r = np.clip(within[2] / np.where(spread > 0, spread, 1.0), 0.0, 1.0)
    return np.asarray(2 * r / (1 + r))


def _noise(
    within: Float[np.ndarray, "4 *batch covariate"], units: int
) -> Float[np.ndarray, "*batch covariate covariate"]:
    """Covariance of the errors, the same in both arms: a share of the variance within arms."""
    variances = (1 - _reliability(within)) * within[3] / units
    return np.asarray(variances[..., None] * np.eye(variances.shape[-1]))


def _moments(arm: MeasuredArm, places: Any) -> tuple[Any, Any, Any, Any]:
    """Means of the covariates, their covariance, their covariance with the scores, and the mean score."""
    z, y = arm.covariates[places], arm.scores[places]
    middle, level = z.mean(axis=-2), y.mean(axis=-1)
    apart = z - middle[..., None, :]
    n = y.shape[-1]
    covariance = np.swapaxes(apart, -1, -2) @ apart / n
    with_scores = (apart * (y - level[..., None])[..., None]).sum(axis=-2) / n
    return middle, covariance, with_scores, level


def _corrected(arms: tuple[MeasuredArm, MeasuredArm], places: tuple[Any, ...]) -> Float[np.ndarray, "*batch"]:
    sizes = [chosen.shape[-1] for chosen in places]
    noise = _noise(_within(arms, places), sum(sizes))
    found = [_moments(arm, chosen) for arm, chosen in zip(arms, places, strict=True)]
    middle = sum(size * means for size, (means, *_) in zip(sizes, found, strict=True)) / sum(sizes)
    at_middle = []
    for means, covariance, with_scores, level in found:
        try:
            slopes = np.linalg.solve(covariance - noise, with_scores[..., None])[..., 0]
        except np.linalg.LinAlgError:  # of one of the resamples it is singular
            slopes = (np.linalg.pinv(covariance - noise, hermitian=True) @ with_scores[..., None])[..., 0]
        at_middle.append(level - (slopes * (means - middle)).sum(axis=-1))
    return np.asarray(at_middle[0] - at_middle[1])
