"""A pickle that must not be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Bomb:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)
