"""The headline as aligned lines, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autointerp.compare.words import with_interval
from autointerp.planted.results import Results
from autointerp.planted.statistics import AGAINST_NOISE, ALL, TEST, Row
from autointerp.planted.units import WRONG

NOTHING = "-"
_HEAD = ("method", "n", *WRONG, "another's score", "coverage", "tokens", "seconds")


def shown(results: Results) -> Iterator[str]:
    """One line per method, on the frozen half, all kinds together; then what the columns are."""
    lines = [_HEAD, *(_cells(results, scores.method) for scores in results.scores)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_HEAD))]
    for line in lines:
        cells = (c.rjust(w) if place else c.ljust(w) for place, (c, w) in enumerate(zip(line, widths, strict=True)))
        yield "  ".join(cells).rstrip()
    yield ""
    yield "P(the true explanation scores above the wrong one) on the frozen half of the units; 0.50 is chance."
    yield "Tokens and seconds: for one unit with one explanation."
    for method in (scores.method for scores in results.scores if not scores.explained):
        row = results.row(method, ALL, AGAINST_NOISE, TEST)
        if row is not None:
            yield (
                f"{method} reads no explanation: P(a unit that means something scores above one that means nothing) "
                f"{interval_of(row)}, n {row.n}."
            )
    for reason, names in results.about.left_by_reason.items():
        yield f"not run: {', '.join(names)}: {reason}"


def _cells(results: Results, method: str) -> Sequence[str]:
    rows = [results.row(method, ALL, wrong, TEST) for wrong in WRONG]
    first = next((row for row in rows if row is not None), None) or results.row(method, ALL, AGAINST_NOISE, TEST)
    if first is None:
        return (method, *([NOTHING] * (len(_HEAD) - 1)))
    return (
        method,
        str(first.n),
        *(NOTHING if row is None else interval_of(row) for row in rows),
        with_interval(first.null_mean, first.null_low, first.null_high),
        f"{first.coverage:.0%}",
        amount(first.tokens_per_unit),
        amount(first.seconds_per_unit),
    )


def interval_of(row: Row) -> str:
    """`0.87 [0.81, 0.92]`, of a line of the table."""
    return with_interval(row.auroc, row.low, row.high)


def amount(value: float | None) -> str:
    """A number of tokens or seconds: three digits, or `?` when it is not known."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"
