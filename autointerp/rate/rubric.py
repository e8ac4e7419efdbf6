"""The rubric, in our words: what page, prompt and readers are told of its four parts.

After "Feature Interpretability Rubric", an appendix of Towards Monosemanticity (Bricken et al. 2023). There a rater
forms an interpretation of a unit from its activations and its positive logits, and gives 0 to 3 for confidence in it,
0 to 5 for how far high activations agree with it, 0 to 3 for how far positive logits do, 0 or 1 for whether logits
that disagree are at least apart from the others in size, and 0 to 3 for specificity; the fourth can only be given
where the third is not full, so 14 is the most. Here the interpretation is the run's explanation, and the point for
logits that are apart is not given: a run keeps the order of promoted tokens and not their sizes. What each number is
called is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.rating_rows import LOGITS, POINTS


@dataclass(frozen=True)
class RubricPart:
    """One question of the rubric."""

    name: str
    question: str
    answers: tuple[str, ...]
    """What each number of points is called, from 0."""


_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "confidence": (
        "How sure are you that this explanation is about this unit?",
        ("not at all", "hardly", "fairly", "sure"),
    ),
    "activations": (
        "How many marked tokens, strong and weak, does it fit?",
        ("none", "few", "less than half", "more than half", "nearly all", "all"),
    ),
    "logits": (
        "How many of the promoted tokens does it fit?",
        ("none", "few", "many", "all"),
    ),
    "specificity": (
        "How specific is it?",
        ("fits any text", "broad", "narrow", "one exact thing"),
    ),
}


def parts(logits: bool) -> list[RubricPart]:
    """The parts in their order; without `logits` those that need no promoted tokens."""
    return [RubricPart(name, *_WORDS[name]) for name in POINTS if logits or name != LOGITS]


def points(logits: bool) -> int:
    """The most that all parts give together: 14, or 11 without promoted tokens."""
    return sum(most for name, most in POINTS.items() if logits or name != LOGITS)


def as_data(of: Sequence[RubricPart]) -> list[dict[str, Any]]:
    """The parts as the page gets them."""
    return [{**asdict(part), "answers": list(part.answers)} for part in of]
