"""The kinds of planted units and of explanations, and which methods can't see a kind of unit by construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRUE = "true"
"""The explanation that says what the unit is active on."""
NEAR_MISS, TOO_BROAD, TOO_NARROW, OTHER = "near-miss", "too-broad", "too-narrow", "other"
WRONG = (NEAR_MISS, TOO_BROAD, TOO_NARROW, OTHER)
"""The false ones: of a neighbouring meaning; of a superset; of a subset; another unit's, of another kind."""
NOISE = "noise"
"""The kind of unit that nothing is true of."""


@dataclass(frozen=True)
class Kind:
    """A family of meanings."""

    about: str
    """What its units are active on, in one line."""
    word_like: bool
    """Whether the token that a unit is active on (with the rest of its word) decides, without its surroundings."""
    unseen: Mapping[str, str]
    """Methods (registered names) that can't see the meaning by construction, each with what it does instead."""


_ALONE = {
    "lookup": "has one prediction per token id, and the meaning lies in what stands around the token",
    "lift": "predicts each token from the explanation alone, without the token's context",
    "embedding": "compares each word with the explanation, without the word's context",
}
_AFTER = {**_ALONE, "lift-next": "looks at the token that follows, and the meaning lies in the one before"}
_ITSELF = {"lift-next": "looks at the token that follows, and the meaning lies in the token itself"}
"""Where a word is several tokens, the one that follows may be the rest of the word."""

KINDS: Mapping[str, Kind] = {
    "word-class": Kind("words of one class of meaning (colours, animals, months)", True, _ITSELF),
    "single-word": Kind("one word", True, _ITSELF),
    "form": Kind("words of one grammatical form, by their spelling (-ing, -ly, -ed, capitals)", True, _ITSELF),
    "number": Kind("digits, years, ordinals, and words for numbers", True, _ITSELF),
    "code": Kind("keywords and marks of programming languages", True, _ITSELF),
    "language": Kind("words of the texts in one language", True, {}),
    "script": Kind("characters of one script", True, {}),
    "position": Kind("a place in the sentence, line or text", False, _ALONE),
    "after": Kind("the token after a word or a mark", False, _AFTER),
    "before": Kind("the token before a word or a mark", False, _ALONE),
    "two-sense": Kind("either of two unrelated meanings", True, _ITSELF),
    NOISE: Kind("tokens drawn at random: it means nothing", False, {}),
}
"""The kinds, in the order of the table."""
