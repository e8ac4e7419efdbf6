"""What is said on a terminal: a bar with rate and time left (plain lines elsewhere), lines, cells in columns."""

from __future__ import annotations

import sys
import threading
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
)
from rich.text import Text

_PLAIN_EVERY, _SOON = 15.0, 2.0
_speaker = ""
"""What lines of this process begin with."""


def speak_as(name: str) -> None:
    """Have every line of this process begin with `name`, and no bars: other processes write to the same terminal."""
    global _speaker
    _speaker = f"{name}: "


class Bar:
    """One running task: call `advance(n)`, and `note` for a figure to show beside it."""

    def advance(self, n: int = 1, *, free: bool = False) -> None:
        """Count `n` more done. `free`: they were there already (a ledger's answers), and say nothing of the pace."""

    def note(self, text: str) -> None:
        """Show a short text (a loss, a rate) with the next update."""


class Pace:
    """How fast things get done: measured from the first of them, which is often slow, without what was free."""

    def __init__(self) -> None:
        self._worked, self._first, self._last = 0, 0.0, 0.0
        self._before = 0

    def add(self, n: int, now: float) -> None:
        """So many more were done, at this time."""
        if not self._worked:
            self._first, self._before = now, n
        self._worked += n
        self._last = now

    @property
    def rate(self) -> float | None:
        """Per second; None before there is something to tell it by."""
        since = self._worked - self._before
        return since / (self._last - self._first) if since and self._last > self._first else None


def rate_text(rate: float) -> str:
    """A rate in the unit that suits it: `12/s`, `14/min`, `3/h`."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate * seconds >= 1 or unit == "h":
            return f"{rate * seconds:,.0f}/{unit}"
    raise AssertionError("an hour suits any rate")


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


class _Plain(Bar):
    """Lines for logs: one after two seconds in which nothing was done, and one at most every fifteen seconds."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done, self._note, self._pace = 0, "", Pace()
        self._last = time.monotonic()
        self._begun = threading.Timer(_SOON, self._begin)
        self._begun.daemon = True
        self._begun.start()

    def _begin(self) -> None:
        of = "" if self._total is None else f" of {self._total:,}"
        say(f"  {self._label}{of} {self._unit}: under way".replace("  :", ":"))

    def advance(self, n: int = 1, *, free: bool = False) -> None:
        self._begun.cancel()
        self._done += n
        now = time.monotonic()
        if not free:
            self._pace.add(n, now)
        if now - self._last >= _PLAIN_EVERY:
            self._last = now
            say(self._line())

    def _line(self) -> str:
        line = f"  {self._label}: {self._done:,}{f'/{self._total:,}' if self._total else ''} {self._unit}"
        rate = self._pace.rate
        if rate is not None:
            line += f", {rate_text(rate)}"
            if self._total:
                line += f", {time_text(max(self._total - self._done, 0) / rate)} left"
        return f"{line}  {self._note}".rstrip()

    def note(self, text: str) -> None:
        self._note = text

    def close(self) -> None:
        """Say nothing more."""
        self._begun.cancel()


class _Rate(ProgressColumn):
    """The pace of our own reckoning, and the time that is left by it."""

    def render(self, task: Task) -> Text:
        pace: Pace = task.fields["pace"]
        if pace.rate is None:
            return Text("")
        left = "" if task.remaining is None else f", {time_text(task.remaining / pace.rate)} left"
        return Text(f"{rate_text(pace.rate)}{left}", style="dim")


class _Rich(Bar):
    def __init__(self, progress: Progress, task: TaskID, pace: Pace) -> None:
        self._progress, self._task, self._pace = progress, task, pace

    def advance(self, n: int = 1, *, free: bool = False) -> None:
        if not free:
            self._pace.add(n, time.monotonic())
        self._progress.advance(self._task, n)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def bar(label: str, total: int | None, unit: str = "") -> Iterator[Bar]:
    """A progress bar named `label` over `total` things called `unit` (None: unknown)."""
    console = Console(stderr=True)
    if _speaker or not console.is_terminal:
        plain = _Plain(label, total, unit)
        try:
            yield plain
        finally:
            plain.close()
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        _Rate(),
        TextColumn("[dim]{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        pace = Pace()
        yield _Rich(progress, progress.add_task(label, total=total, note="", pace=pace), pace)


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
