"""How features share dimensions: dimensions per feature, which features overlap, and what shape they make."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components

REPRESENTED = 0.5
"""A feature is represented where the length of its direction is above this: lengths are near 0 or near 1."""
OVERLAP = 0.2
"""Two represented features overlap where the |cosine| of their directions is above this; trained ones that share no
dimension have less."""

Weights = Float[np.ndarray, "hidden feature"]


def represented(weights: Weights) -> Bool[np.ndarray, " feature"]:
    """Which features have a direction of length above 0.5."""
    kept: Bool[np.ndarray, " feature"] = np.linalg.norm(weights, axis=0) > REPRESENTED
    return kept


def dimensions(weights: Weights) -> Float[np.ndarray, " feature"]:
    """D_i = |W_i|^2 / sum_j (W_i . W_j / |W_i|)^2 (Elhage et al. 2022): the share of a dimension that is its own.

    In [0, 1]; 0 for a feature without a direction. Over all features they add up to at most the hidden dimensions.
    """
    gram = weights.T.astype(np.float64) @ weights
    squares = np.diag(gram)
    shared = np.square(gram).sum(axis=1)
    own: Float[np.ndarray, " feature"] = np.divide(squares**2, shared, out=np.zeros_like(squares), where=shared > 0)
    return own


def groups(weights: Weights) -> list[tuple[int, ...]]:
    """Represented features that overlap, directly or through others, together; a feature by itself is a group."""
    kept = np.flatnonzero(represented(weights))
    if not kept.size:
        return []
    units = weights[:, kept] / np.linalg.norm(weights[:, kept], axis=0)
    count, label = connected_components(np.abs(units.T @ units) > OVERLAP, directed=False)
    return sorted(tuple(int(i) for i in kept[label == each]) for each in range(count))


def shape_of(weights: Weights, group: tuple[int, ...]) -> str:
    """What the directions of a group make: the name of a regular figure, else how many they are in how many dimensions.

    `own dimension`, `antipodal pair`, `triangle`, `square`, `pentagon`, `tetrahedron`, or `6 in 3`.
    """
    directions = weights[:, list(group)] / np.linalg.norm(weights[:, list(group)], axis=0)
    spread = np.linalg.svd(directions, compute_uv=False)
    rank = int((spread > 0.25 * spread[0]).sum())
    cosines = np.sort((directions.T @ directions)[np.triu_indices(len(group), 1)])
    for name, size, within in _FIGURES:
        if (size, within) == (len(group), rank) and np.allclose(cosines, np.sort(_COSINES[name]), atol=_SLACK):
            return name
    return f"{len(group)} in {rank}"


def geometry_of(weights: Weights) -> str:
    """The shapes of all groups, largest first, as in `2 x antipodal pair`; `nothing` where nothing is represented."""
    found = [(len(group), shape_of(weights, group)) for group in groups(weights)]
    names = dict.fromkeys(shape for _, shape in sorted(found, reverse=True))
    counted = {name: sum(shape == name for _, shape in found) for name in names}
    return " + ".join(name if count == 1 else f"{count} x {name}" for name, count in counted.items()) or "nothing"


_SLACK = 0.2
"""By which a cosine may differ from the regular figure's."""
_FIGURES = (
    ("own dimension", 1, 1), ("antipodal pair", 2, 1), ("triangle", 3, 2), ("square", 4, 2), ("pentagon", 5, 2),
    ("tetrahedron", 4, 3),
)  # fmt: skip
"""Name, features, dimensions."""


def _polygon(corners: int) -> list[float]:
    angles = 2 * np.pi * np.arange(corners) / corners
    return [float(np.cos(angles[i] - angles[j])) for i in range(corners) for j in range(i + 1, corners)]


_COSINES = {
    "own dimension": [], "antipodal pair": [-1.0], "triangle": _polygon(3), "square": _polygon(4),
    "pentagon": _polygon(5), "tetrahedron": [-1 / 3] * 6,
}  # fmt: skip
