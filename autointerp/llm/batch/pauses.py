"""How long to wait between two looks at a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_FIRST, _GROWTH, _LONGEST = 5.0, 1.5, 60.0
_SAY_EVERY = 60.0


@dataclass(frozen=True)
class Pause:
    """A wait."""

    seconds: float
    due: bool
    """Whether a line about the wait is due: at once, and then once a minute."""


def pauses() -> Iterator[Pause]:
    """Growing waits, from 5 seconds to a minute, for ever."""
    seconds, unsaid = _FIRST, _SAY_EVERY
    while True:
        due = unsaid >= _SAY_EVERY
        yield Pause(seconds, due)
        unsaid = seconds if due else unsaid + seconds
        seconds = min(seconds * _GROWTH, _LONGEST)
