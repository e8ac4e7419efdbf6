"""What is said on a terminal: a bar with rate and time left (plain lines elsewhere), lines, cells in columns."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_PLAIN_EVERY = 15.0
_speaker = ""
"""What lines of this process begin with."""


def speak_as(name: str) -> None:
    """Have every line of this process begin with `name`, and no bars: other processes write to the same terminal."""
    global _speaker
    _speaker = f"{name}: "


class Bar:
    """One running task: call `advance(n)`, and `note` for a figure to show beside it."""

    def advance(self, n: int = 1) -> None:
        """Count `n` more done."""

    def note(self, text: str) -> None:
        """Show a short text (a loss, a rate) with the next update."""


class _Plain(Bar):
    """Lines for logs: one at most every fifteen seconds, none for what ends sooner."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done, self._note = 0, ""
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY:
            self._last = now
            say(self._line(now - self._start))

    def _line(self, elapsed: float) -> str:
        rate = self._done / elapsed
        line = f"  {self._label}: {self._done:,}"
        if self._total:
            left = max(self._total - self._done, 0) / rate if rate else 0.0
            line += f"/{self._total:,} {self._unit}, {rate:,.0f}/s, {left:,.0f} s left"
        else:
            line += f" {self._unit}, {rate:,.0f}/s"
        return f"{line}  {self._note}".rstrip()

    def note(self, text: str) -> None:
        self._note = text


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


class _Rich(Bar):
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, n: int = 1) -> None:
        self._progress.advance(self._task, n)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def bar(label: str, total: int | None, unit: str = "") -> Iterator[Bar]:
    """A progress bar named `label` over `total` things called `unit` (None: unknown)."""
    console = Console(stderr=True)
    if _speaker or not console.is_terminal:
        yield _Plain(label, total, unit)
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(),
        TextColumn("[dim]{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Rich(progress, progress.add_task(label, total=total, note=""))


def aligned(rows: Iterable[Sequence[str]], numbers: slice = slice(1, None)) -> Iterator[str]:
    """A line per row, of as many cells each: the columns `numbers` flush right, the others flush left."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = range(len(widths))[numbers]
    for row in table:
        cells = (c.rjust(w) if n in right else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()


def say(text: str) -> None:
    """A line about what is happening, on standard error, so that standard output stays the answer."""
    print(f"{_speaker}{text}", file=sys.stderr, flush=True)
