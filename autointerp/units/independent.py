"""Independent components: directions of a hook's vectors whose values are as little Gaussian as can be (ICA).

FastICA with the contrast log cosh and symmetric decorrelation, stabilised where it swings (Hyvarinen 1999), in double
precision, on vectors whitened to the leading principal components. It is restarted from other random directions, and a
component that the first start finds is stable where every other one finds it too (Himberg and Hyvarinen 2003, Icasso,
without its clusters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from autointerp.artifacts import rng_of
from autointerp.study import Study
from autointerp.units.components import Components, component_arms
from autointerp.units.interface import Candidates, Encoder
from autointerp.units.principal import SecondMoments, oriented, principal_axes

RESTARTS = 3
SAMPLE = 32_768
"""Vectors that ICA is fitted to at most, drawn evenly from the training split."""
WHITENED = 4
"""Whitened dimensions, and so components, for each unit that is wanted."""
FOUND = 0.9
"""A component is found again where a direction of the other start has at least this |cosine| with it."""
_TOLERANCE = 1e-4
_ITERATIONS = 400
_SMALLER, _PATIENCE = 0.7, 15
"""Share of the least change so far that counts as smaller, and steps without one before they are halved."""
_LEAST_PART = 1 / 4
_BLOCK = 4096


@dataclass(frozen=True)
class Start:
    """What one start of FastICA came to."""

    directions: Float[np.ndarray, "component white"]
    """Orthogonal unit vectors in the whitened space."""
    converged: Bool[np.ndarray, " component"]
    """Whether the last step left the direction where it was: 1 - |cosine| under 1e-4, and as much less for a part of a
    step as that moves it less."""


@dataclass(frozen=True)
class IndependentFit:
    """Independent components of a hook's vectors: those that converged first, then by variance."""

    components: Components
    """Those that converged, alone."""
    variance: Float[np.ndarray, " component"]
    """Share of the variance of the vectors, of all components."""
    converged: Bool[np.ndarray, " component"]
    restarts: Int[np.ndarray, " component"]
    """Starts that find it, the first included."""
    similarity: Float[np.ndarray, " component"]
    """Least |cosine| with its counterpart in another start."""


def fast_ica(white: Float[np.ndarray, "vector white"], start: Float[np.ndarray, "white white"]) -> Start:
    """One start of symmetric FastICA from the rows of `start`, on vectors of mean 0 and unit covariance.

    At most 400 steps; all directions move until every one of them is where it was. Whole steps may swing between two
    places for ever; where the largest change has not become smaller for a while, steps are halved.
    """
    directions = _decorrelated(start)
    converged = np.zeros(len(start), dtype=bool)
    part, least, waited = 1.0, np.inf, 0
    for _ in range(_ITERATIONS):
        moved = _decorrelated(_step(white, directions, part))
        changes = 1 - np.abs((moved * directions).sum(axis=1))
        converged = changes < _TOLERANCE * part**2
        directions = moved
        if converged.all():
            break
        smaller = changes.max() < _SMALLER * least
        least, waited = (changes.max(), 0) if smaller else (least, waited + 1)
        if waited >= _PATIENCE and part > _LEAST_PART:
            part, least, waited = part / 2, np.inf, 0
    return Start(directions, converged)


def _step(
    white: Float[np.ndarray, "vector white"], directions: Float[np.ndarray, "component white"], part: float
) -> Float[np.ndarray, "component white"]:
    """E[x g(w.x)] - E[g'(w.x)] w for every direction w, where g is tanh; block by block, to bound the memory.

    `part` of it, if it is under 1: w - part (E[x g(w.x)] - b w) / (E[g'(w.x)] - b), where b is E[w.x g(w.x)].
    """
    total, slopes, own = np.zeros_like(directions), np.zeros(len(directions)), np.zeros(len(directions))
    for begin in range(0, len(white), _BLOCK):
        block = white[begin : begin + _BLOCK]
        projected = block @ directions.T
        values = np.tanh(projected)
        total += values.T @ block
        slopes += (1 - values**2).sum(axis=0)
        own += (projected * values).sum(axis=0)
    if part == 1:
        return np.asarray((total - slopes[:, None] * directions) / len(white))
    return np.asarray(directions - part * (total - own[:, None] * directions) / (slopes - own)[:, None])


def _decorrelated(rows: Float[np.ndarray, "component white"]) -> Float[np.ndarray, "component white"]:
    """The nearest orthogonal rows: (W W^T)^(-1/2) W."""
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(left @ right)


def fit_independent(vectors: Float[np.ndarray, "vector width"], wanted: int, seed: int, hook: str) -> IndependentFit:
    """Independent components of vectors, whitened to `4 * wanted` dimensions (fewer where the vectors have fewer).

    Seeded by `seed` and `hook`.
    """
    moments = SecondMoments.of_width(vectors.shape[1])
    for begin in range(0, len(vectors), _BLOCK):
        moments.add(torch.from_numpy(vectors[begin : begin + _BLOCK]))
    mean, covariance = moments.mean(), moments.covariance()
    variances, axes = principal_axes(covariance)
    variances, axes = variances[: WHITENED * wanted], axes[: WHITENED * wanted]
    whitening = axes / np.sqrt(variances)[:, None]
    white = np.concatenate([
        (vectors[begin : begin + _BLOCK] - mean) @ whitening.T for begin in range(0, len(vectors), _BLOCK)
    ])  # fmt: skip
    size = len(variances)
    starts = [
        fast_ica(white, rng_of(seed, "independent", hook, number).standard_normal((size, size)))
        for number in range(RESTARTS)
    ]
    first = starts[0]
    cosines = np.stack([_counterparts(first.directions, other.directions) for other in starts[1:]])
    written = first.directions @ (axes * np.sqrt(variances)[:, None])
    share = (written**2).sum(axis=1) / np.trace(covariance)
    order = np.lexsort((-share, ~first.converged))
    kept = order[: int(first.converged.sum())]
    signs = np.sign((oriented(written) * written).sum(axis=1))[:, None]
    return IndependentFit(
        components=Components(mean, ((first.directions @ whitening) * signs)[kept], (written * signs)[kept]),
        variance=share[order],
        converged=first.converged[order],
        restarts=1 + (cosines >= FOUND).sum(axis=0)[order],
        similarity=cosines.min(axis=0)[order],
    )


def _counterparts(
    one: Float[np.ndarray, "component white"], other: Float[np.ndarray, "component white"]
) -> Float[np.ndarray, " component"]:
    """|cosine| of each row of `one` with its own counterpart in `other`, paired so that the sum is largest."""
    cosines = np.abs(one @ other.T)
    rows, columns = linear_sum_assignment(-cosines)
    return np.asarray(cosines[rows, columns])


class Independent:
    """The independent components of every hook that converged."""

    name = "independent"
    plural = "independent components"
    oriented = True

    def candidates(
        self, study: Study, widths: Mapping[str, int], encoders: Mapping[str, tuple[Encoder, int]]
    ) -> Sequence[Candidates]:
        """One arm per hook."""
        return component_arms(self.name, study.units.independent, study, encoders)
