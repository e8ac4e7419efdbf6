"""How far one account of one label is right about the model, by taking words away; and how far two accounts agree.

The measures of Huang et al. 2023; comprehensiveness and sufficiency are ERASER's (DeYoung et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from autointerp.attribution.faithfulness import faithfulness, order
from autointerp.attribution.masks import MaskScorer
from autointerp.records import Unscored
from autointerp.self_explanation.rival_accounts import Importance

COMPREHENSIVENESS, SUFFICIENCY, FLIP_BY_FIRST, WORDS_TO_FLIP, DELETION_RANK, PLANTED_FOUND, AGREEMENT = (
    "comprehensiveness", "sufficiency", "flip_by_first", "words_to_flip", "deletion_rank", "planted_found", "kendall",
)  # fmt: skip


@dataclass(frozen=True)
class MeasureTraits:
    """How a measure is read."""

    words: str
    higher_is_better: bool
    scale: tuple[float, float]


MEASURES: Mapping[str, MeasureTraits] = {
    COMPREHENSIVENESS: MeasureTraits("comprehensiveness", True, (-1.0, 1.0)),
    SUFFICIENCY: MeasureTraits("sufficiency", False, (-1.0, 1.0)),
    FLIP_BY_FIRST: MeasureTraits("label flips without the first word", True, (0.0, 1.0)),
    WORDS_TO_FLIP: MeasureTraits("share of words to a flip", False, (0.0, 1.0)),
    DELETION_RANK: MeasureTraits("deletion rank correlation", True, (-1.0, 1.0)),
    PLANTED_FOUND: MeasureTraits("planted words found", True, (0.0, 1.0)),
    AGREEMENT: MeasureTraits("Kendall's tau-b", True, (-1.0, 1.0)),
}
"""Measure of one account, or of two (`kendall`) -> how it is read."""
BY_DELETION = (COMPREHENSIVENESS, SUFFICIENCY, FLIP_BY_FIRST, WORDS_TO_FLIP, DELETION_RANK)
"""Those that ask the model."""
CONSTANT = Unscored("all words are equally important: no order")
NO_EFFECT = Unscored("no word changes the probability when it is taken away alone")
UNKNOWN_WORDS = Unscored("nobody knows the words that decide")
_FLIPS = 0.5
"""A probability of the model's label below which the model decides otherwise."""


def by_deletion(
    score: MaskScorer, importance: Importance, ties: Callable[[], np.random.Generator]
) -> dict[str, float | Unscored]:
    """Every measure that takes words away, the most important first. Asks `score` once.

    `ties`: gives generators of one seed, that order equally important words.
    """
    words = importance.size
    ranked = order(importance, ties())
    first = np.ones((1, words), dtype=bool)
    first[0, ranked[0]] = False
    single = np.concatenate([np.ones((1, words), dtype=bool), ~np.eye(words, dtype=bool)])
    kept: dict[str, np.ndarray] = {}

    def asked(masks: np.ndarray) -> np.ndarray:
        """`score`, of the masks of all measures in one call."""
        scores = score(np.concatenate([masks, first, single]))
        kept["first"], kept["single"] = scores[len(masks), 0], scores[len(masks) + 1 :, 0]
        return scores[: len(masks)]

    (found,) = faithfulness(asked, importance[:, None], ties(), flips=_FLIPS)
    drops = kept["single"][0] - kept["single"][1:]
    return {
        COMPREHENSIVENESS: found.comprehensiveness,
        SUFFICIENCY: found.sufficiency,
        FLIP_BY_FIRST: float(kept["first"] < _FLIPS),
        WORDS_TO_FLIP: found.flip,
        DELETION_RANK: _correlated(importance, drops),
    }


def _correlated(importance: Importance, drops: Importance) -> float | Unscored:
    """Spearman's correlation of the numbers with what each word's absence alone does."""
    if _constant(importance):
        return CONSTANT
    if _constant(drops):
        return NO_EFFECT
    return float(spearmanr(importance, drops).statistic)


def _constant(numbers: Importance) -> bool:
    return bool(numbers.max() == numbers.min())


def planted_found(
    importance: Importance, decisive: tuple[int, ...] | None, rng: np.random.Generator
) -> float | Unscored:
    """Share of the decisive words among as many most important ones. Chance is their share of all words."""
    if decisive is None:
        return UNKNOWN_WORDS
    top = order(importance, rng)[: len(decisive)]
    return float(np.isin(top, decisive).mean())


def agreement(first: Importance, second: Importance) -> float | Unscored:
    """Kendall's tau-b of two accounts of one review, which counts ties; about 0 for accounts that know nothing."""
    if _constant(first) or _constant(second):
        return CONSTANT
    return float(kendalltau(first, second, variant="b").statistic)
