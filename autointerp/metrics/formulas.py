"""Means and ranks over pooled tokens, each counted once or as often as a weight says.

A weight says how many tokens of the split a token stands for. Every weighted score is the plain one of the sample in
which each token is written out so many times.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

Rows = Float[np.ndarray, "row token"]
Values = Float[np.ndarray, " row"]
Truth = Float[np.ndarray, " token"]
Weights = Float[np.ndarray, " token"]
"""All above 0; their scale says nothing."""


def mean(values: Float[np.ndarray, "*row token"], weights: Weights | None) -> Float[np.ndarray, "*row"]:
    """Mean over the tokens, which count alike without weights."""
    if weights is None:
        return np.asarray(values.mean(axis=-1))
    return np.asarray((values * weights).sum(axis=-1) / weights.sum())


def median(values: Truth, weights: Weights | None) -> float:
    """A value with at most half of the weight on either side."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def ranks(rows: Rows, weights: Weights | None) -> Rows:
    """Ranks within each row, ties at their mean rank: from 1, or with weights the weight below plus half of that of
    the ties."""
    if weights is None:
        return np.asarray(rankdata(rows, axis=-1), dtype=np.float64)
    found = np.empty(rows.shape, dtype=np.float64)
    for place, row in enumerate(rows):
        _, group = np.unique(row, return_inverse=True)
        sizes = np.bincount(group, weights=weights)
        found[place] = (np.cumsum(sizes) - sizes / 2)[group]
    return found
