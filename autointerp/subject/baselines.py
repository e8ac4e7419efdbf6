"""What predictions from counts alone would cost: the losses that a trained subject is held against."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from autointerp.subject.blank import START


def unigram_loss(train: Int[np.ndarray, "_ context"], held_out: Int[np.ndarray, "_ context"], vocabulary: int) -> float:
    """Mean loss (nats per token) on `held_out` of each token's frequency in `train`, one added to every count."""
    return float(-np.log(_frequencies(train, vocabulary)[held_out]).mean())


def bigram_loss(train: Int[np.ndarray, "_ context"], held_out: Int[np.ndarray, "_ context"], vocabulary: int) -> float:
    """Mean loss (nats per token) on `held_out` of counts of pairs in `train`, the start token before each context.

    What a token is followed by is mixed with the unigram frequencies in proportion to how many different tokens
    follow it (Witten and Bell 1991): (count of the pair + followers x unigram) / (count of the first + followers).
    """
    pairs, counts = np.unique(_pairs(train, vocabulary), return_counts=True)
    first = pairs // vocabulary
    followers = np.bincount(first, minlength=vocabulary)
    total = np.bincount(first, weights=counts, minlength=vocabulary)
    wanted = _pairs(held_out, vocabulary)
    place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
    seen = np.where(pairs[place] == wanted, counts[place], 0)
    before, unigram = wanted // vocabulary, _frequencies(train, vocabulary)[wanted % vocabulary]
    weight = np.maximum(followers, 1)[before]  # a token that nothing followed leaves the unigram alone
    return float(-np.log((seen + weight * unigram) / (total[before] + weight)).mean())


def _frequencies(tokens: Int[np.ndarray, "_ context"], vocabulary: int) -> Float[np.ndarray, " vocabulary"]:
    counts = np.bincount(tokens.reshape(-1), minlength=vocabulary) + 1.0
    return np.asarray(counts / counts.sum())


def _pairs(tokens: Int[np.ndarray, "n context"], vocabulary: int) -> Int[np.ndarray, " pair"]:
    """Each token and the one before it, as one number."""
    before = np.concatenate([np.full((len(tokens), 1), START), tokens[:, :-1]], axis=1)
    return np.asarray(before.astype(np.int64) * vocabulary + tokens).reshape(-1)
