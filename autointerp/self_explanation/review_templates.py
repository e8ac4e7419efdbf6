"""Of what generated reviews are made: sentences and words of known polarity. Neither half shares any with the other.

A word between stars is decisive: by the rule that made the review, its label would change with it. Of the slots, `{p}`
takes a word of the review's own polarity, `{q}` one of the other, `{n}` and `{m}` two nouns. All words are our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PLAIN, NEGATED, CONTRAST = "plain", "negated", "contrast"
"""Kinds of reviews: one polar word decides; a negated word of the other polarity does; the last word does, against an
earlier one."""


@dataclass(frozen=True)
class ReviewParts:
    """What the reviews of one half are made of."""

    templates: tuple[tuple[str, str], ...]
    """(kind, sentence) pairs."""
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    nouns: tuple[str, ...]


DEVELOPMENT = ReviewParts(
    templates=(
        (PLAIN, "The {n} was *{p}*, and we talked about it for days."),
        (PLAIN, "I saw it with my sister on Friday: *{p}* {n} from start to finish."),
        (PLAIN, "What a *{p}* {n} this turned out to be!"),
        (NEGATED, "The {n} is *not* *{q}*, whatever the poster says."),
        (NEGATED, "There was *nothing* *{q}* about the {n}."),
        (CONTRAST, "The {n} looked {q} at first, but the {m} made it *{p}*."),
        (CONTRAST, "A {q} {n}, yet as a whole the evening was *{p}*."),
    ),
    positive=("wonderful", "excellent", "charming", "delightful", "brilliant", "superb", "lovely", "amazing"),
    negative=("terrible", "awful", "boring", "dreadful", "horrible", "poor", "tedious", "disappointing"),
    nouns=("film", "acting", "story", "music", "ending", "plot"),
)
"""Prompts were chosen on these."""

HELD_OUT = ReviewParts(
    templates=(
        (PLAIN, "My brother lent me this {n} last week and I found it *{p}*."),
        (PLAIN, "After twenty pages I knew that the {n} would be *{p}*."),
        (PLAIN, "Honestly, such a *{p}* {n} is rare these days."),
        (NEGATED, "I would *never* call this {n} *{q}*."),
        (NEGATED, "The {n} is *hardly* *{q}*, as my neighbour had feared or hoped."),
        (CONTRAST, "Although the {n} seemed {q}, I closed the book thinking how *{p}* the {m} was."),
        (CONTRAST, "Some call the {n} {q}; to me this novel is simply *{p}*."),
    ),
    positive=("great", "beautiful", "fantastic", "gripping", "enjoyable", "perfect", "moving", "clever"),
    negative=("bad", "dull", "stupid", "annoying", "pointless", "weak", "ugly", "clumsy"),
    nouns=("style", "dialogue", "chapter", "translation", "hero", "cover"),
)
"""Results are measured on these."""

HALVES: Mapping[str, ReviewParts] = {"development": DEVELOPMENT, "held-out": HELD_OUT}
"""Half of the generated reviews -> what they are made of."""
