"""A value that a model wrote as a number, for simulators that read no log-probabilities."""

from __future__ import annotations

from typing import Any

from autointerp.llm.request import Unreadable
from autointerp.llm.schema import between

HIGHEST = 9
VALUE = between(0, HIGHEST)
"""JSON schema of a value."""
SLACK = 32
"""Tokens of an answer for a code fence, or a few words around the values."""
NOT_AN_OBJECT = Unreadable("the answer's JSON is not an object")
NO_NUMBER = Unreadable("a value that is not a number")
OUT_OF_RANGE = Unreadable("a value that is not between 0 and 9")


def written_value(value: Any) -> float | Unreadable:
    """A JSON value as an activation from 0 to 9; Unreadable for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NO_NUMBER
    return float(value) if 0 <= value <= HIGHEST else OUT_OF_RANGE
