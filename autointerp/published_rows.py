"""The row of the table of published explanations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedExplanationRow:
    """An explanation as it was published, before it was scored here. Only in runs of imported explanations."""

    unit: str
    source: str
    """What it is of: model and source, as the publisher names them."""
    index: int
    """The feature's, in its source."""
    explanation: str
    """The publisher's id of it."""
    author: str
    """The publisher's id of who gave it."""
    method: str
    """How it was written, as the publisher names it; '' where that is not told."""
    model: str
    """The language model that wrote it; '' where that is not told."""
    score_v1: float | None
    """What the publisher says it scored; None where that is not told. Another measure, on other contexts."""
    score_v2: float | None
    """The same, of the publisher's later measure."""
