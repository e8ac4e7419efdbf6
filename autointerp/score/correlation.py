"""Correlations of predicted with true activations over pooled tokens.

Pooled: the tokens of all of a unit's contexts form one sample (Bills et al. 2023). A mean of per-context correlations
would throw away how much the contexts differ from each other, which is most of what an explanation predicts.
"""

from __future__ import annotations

import numpy as np

from autointerp.metrics.formulas import Rows, Truth, Values, Weights, mean, ranks


def pearson(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """In [-1, 1]; neither the truth nor a prediction may be constant."""
    return _pearson(_standard(truth[None, :], weights)[0], _standard(predicted, weights))


def spearman(truth: Truth, predicted: Rows, weights: Weights | None = None) -> Values:
    """Pearson of the ranks, ties at their mean rank."""
    both = ranks(truth[None, :], weights)[0], ranks(predicted, weights)
    return pearson(*both, weights)


def _standard(rows: Rows, weights: Weights | None) -> Rows:
    """Centred, at most 1 in magnitude: tiny or huge activations neither underflow nor overflow.

    With weights, each token is then scaled by the root of its own, so that sums of products are weighted.
    """
    values = rows.astype(np.float64)
    values = values / np.abs(values).max(axis=1, keepdims=True)
    values = values - mean(values, weights)[:, None]
    values = values / np.abs(values).max(axis=1, keepdims=True)
    return values if weights is None else np.asarray(values * np.sqrt(weights / weights.max()))


def _pearson(truth: Truth, predicted: Rows) -> Values:
    # Sums along each row, not a matrix product: an answer must not depend on how many rows it is computed with.
    norms = np.sqrt((truth * truth).sum() * (predicted * predicted).sum(axis=1))
    return np.asarray(np.clip((predicted * truth).sum(axis=1) / norms, -1.0, 1.0))
