"""The rows of what people and models gave units by the rubric, and how many points its parts have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autointerp.records import Big, Status

POINTS: Mapping[str, int] = {"confidence": 3, "activations": 5, "logits": 3, "specificity": 3}
"""Part of the rubric -> its most points; the least is 0. 14 together."""
LOGITS = "logits"
"""The part that needs the tokens that a unit promotes."""
HUMAN, MODEL = "human", "model"
"""Kinds of raters, which are never put together."""


@dataclass(frozen=True)
class RatingRow:
    """What one rater gave one item of a rating page, by the rubric. Only in runs that were rated."""

    sheet: str
    """The page that was rated: first digits of the hash of all that it shows."""
    item: str
    """Its id on the page."""
    rater: str
    """The name that a person gave, or the model."""
    rater_kind: str
    """`human` or `model`."""
    session: str
    """What the rater's browser drew, to tell two people of one name apart; of a model `name@hash` of its prompt."""
    unit: str
    arm: str
    subject: str
    """The scrambled subject that it is a unit of; '' for the subject itself."""
    explanation_of: str
    """Whose explanation was shown: the unit itself, or, of a decoy, another unit of its arm."""
    text: str
    """The explanation that was shown."""
    confidence: int | None
    """0 to 3: how sure the rater is that the explanation is about this unit; None where it is not `ok`."""
    activations: int | None
    """0 to 5: how far the marked tokens, over the whole range of activations, fit the explanation."""
    logits: int | None
    """0 to 3: how far the promoted tokens fit it; None also where the page shows none."""
    specificity: int | None
    """0 to 3: how specific the explanation is."""
    total: int | None
    """Sum of the parts."""
    points: int
    """The most that `total` can be: 14, or 11 where no promoted tokens were shown."""
    seconds: float | None
    """From when the item was shown to the answer, pauses included; None for a model."""
    at: Big | None
    """When it was answered, in seconds since 1970 by the rater's clock; None for a model."""
    status: Status
    """`ok`, or `unscored`: passed over by the rater, or no answer of the model."""
    reason: str
