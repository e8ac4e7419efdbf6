"""Correlations of predicted with true activations over pooled tokens.

Pooled: the tokens of all of a unit's contexts form one sample (Bills et al. 2023). A mean of per-context correlations
would throw away how much the contexts differ from each other, which is most of what an explanation predicts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

Rows = Float[np.ndarray, "row token"]
Values = Float[np.ndarray, " row"]
Truth = Float[np.ndarray, " token"]


def pearson(truth: Truth, predicted: Rows) -> Values:
    """In [-1, 1]; neither the truth nor a prediction may be constant."""
    return _pearson(_standard(truth[None, :])[0], _standard(predicted))


def spearman(truth: Truth, predicted: Rows) -> Values:
    """Pearson of the ranks, ties at their mean rank."""
    return _pearson(_standard(ranks(truth[None, :]))[0], _standard(ranks(predicted)))


def ranks(rows: Rows) -> Rows:
    """Ranks within each row from 1, ties at their mean rank."""
    return np.asarray(rankdata(rows, axis=-1), dtype=np.float64)


def _standard(rows: Rows) -> Rows:
    """Centred, at most 1 in magnitude: tiny or huge activations neither underflow nor overflow."""
    values = rows.astype(np.float64)
    values = values / np.abs(values).max(axis=1, keepdims=True)
    values = values - values.mean(axis=1, keepdims=True)
    return np.asarray(values / np.abs(values).max(axis=1, keepdims=True))


def _pearson(truth: Truth, predicted: Rows) -> Values:
    # Sums along each row, not a matrix product: an answer must not depend on how many rows it is computed with.
    norms = np.sqrt((truth * truth).sum() * (predicted * predicted).sum(axis=1))
    return np.asarray(np.clip((predicted * truth).sum(axis=1) / norms, -1.0, 1.0))
