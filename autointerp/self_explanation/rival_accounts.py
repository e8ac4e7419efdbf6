"""Whose numbers an account is held against: occlusion and LIME of the same model, and what knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.attribution.masks import MaskScorer, lime, occlusion
from autointerp.self_explanation.review_words import ReviewWords
from autointerp.self_explanation.reviews import Review

OCCLUSION, LIME = "occlusion", "lime"
RANDOM, OTHER_REVIEW, LONGEST, PLANTED = "random", "another-review", "longest-words", "planted"
NULLS: Mapping[str, str] = {
    RANDOM: "a random number for every word",
    OTHER_REVIEW: "the model's own account of another review, word by word by place",
    LONGEST: "the longest words first",
}
"""What knows nothing of the model's answer -> what it is."""
RIVALS: Mapping[str, str] = {
    OCCLUSION: "what the label's probability loses without the word",
    LIME: "slopes of a weighted ridge over random parts of the review",
    PLANTED: "the words that decide by the rule which made the review, whatever the model does",
    **NULLS,
}
"""What an account is held against -> what it is."""
LIME_DRAWS = 64
"""Random parts of a review that LIME asks about."""

Importance = Float[np.ndarray, " word"]
"""How much each word speaks for the label that the model gave the whole review."""


def occluded(score: MaskScorer, words: int) -> Importance:
    """Occlusion, for the scorer's label."""
    return occlusion(score, words)[:, 0]


def limed(score: MaskScorer, words: int, draws: int, seed: int, review: int) -> Importance:
    """LIME, for the scorer's label; its parts of the review are drawn by `seed` and the review's number."""
    return lime(score, words, draws, rng_of(seed, "lime", review))[:, 0]


def without_the_model(review: Review, words: ReviewWords, seed: int, number: int) -> dict[str, Importance]:
    """Method -> numbers that need no answer. `planted` only where the decisive words are known."""
    found = {
        RANDOM: rng_of(seed, "random account", number).random(len(words.words)),
        LONGEST: np.array([float(len(word)) for word in words.words]),
    }
    if review.decisive is not None:
        found[PLANTED] = np.isin(np.arange(len(words.words)), review.decisive).astype(float)
    return found


def of_another_review(
    number: int, importances: Sequence[Float[np.ndarray, " _"] | None], words: int, seed: int
) -> Importance | None:
    """The numbers of another review's account, drawn by `seed`, cut to `words` or begun again; None without one."""
    others = [place for place, each in enumerate(importances) if each is not None and place != number]
    if not others:
        return None
    chosen = importances[int(rng_of(seed, "another review", number).choice(others))]
    assert chosen is not None
    return np.resize(chosen, words)
