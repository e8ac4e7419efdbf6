"""What was measured: lines of a table, and everything as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from common.tables import aligned


@dataclass(frozen=True)
class Line:
    """One comparison."""

    what: str
    value: str
    """The ratio, or the difference that was found."""
    n: int
    """Of rounds, seeds or runs."""
    holds: bool | None = None
    """Whether results agree within what `value` says is tolerated; None where nothing is asserted."""


@dataclass
class Sheet:
    """Filled section by section."""

    lines: list[Line] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    """Everything, by section."""

    def table(self) -> str:
        """The lines, aligned."""
        verdicts = {None: "", True: "holds", False: "DOES NOT HOLD"}
        rows = [("what", "measured", "n", "")]
        rows += [(line.what, line.value, str(line.n), verdicts[line.holds]) for line in self.lines]
        return aligned(rows)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {"table": [asdict(line) for line in self.lines], **self.numbers}

    @property
    def fine(self) -> bool:
        """Whether nothing differs."""
        return all(line.holds is not False for line in self.lines)


def times(slow: Sequence[float], fast: Sequence[float]) -> str:
    """How many times faster: the median over the rounds of the ratio within a round, with the least and the most."""
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return f"{statistics.median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f})"
