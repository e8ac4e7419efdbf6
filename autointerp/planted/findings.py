"""What the numbers say, in sentences and as aligned lines: which methods tell right from wrong, which are at chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from autointerp.compare.words import with_interval
from autointerp.planted.meanings import KINDS, NOISE
from autointerp.planted.results import Results
from autointerp.planted.statistics import AGAINST_NOISE, ALL, BOTH, CHANCE, TEST, Scores
from autointerp.planted.units import NEAR_MISS, OTHER, WRONG
from autointerp.progress import aligned
from autointerp.rows import BenchmarkRow

NOTHING = "-"
_HEAD = ("method", "n", *WRONG, "another's score", "coverage", "tokens", "seconds")


def headline_lines(results: Results) -> Iterator[str]:
    """One line per method, on the frozen half, all kinds together; then what the columns are."""
    yield from aligned([_HEAD, *(_cells(results, scores.method) for scores in results.scores)])
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


def interval_of(row: BenchmarkRow) -> str:
    """`0.87 [0.81, 0.92]`, of a line of the table."""
    return with_interval(row.auroc, row.low, row.high)


def amount(value: float | None) -> str:
    """A number of tokens or seconds: three digits, or `?` when it is not known."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


TOO_FEW = "too few to tell"
_FEWEST = 12
"""Six meanings in two forms: that all of fewer are alike, chance alone gives more than once in thirty times."""


class Standing(StrEnum):
    """Where an interval lies."""

    ABOVE = "above"
    CHANCE = "chance"
    BELOW = "below"
    TOO_FEW = "too few"


def verdict(row: BenchmarkRow) -> Standing:
    """Where the interval of a line with an AUROC lies; where there is none (all units alike), what the value says."""
    value = CHANCE if row.auroc is None else row.auroc
    if row.low is None or row.high is None:
        if row.n < _FEWEST:
            return Standing.TOO_FEW
        return Standing.ABOVE if value > CHANCE else Standing.BELOW if value < CHANCE else Standing.CHANCE
    if row.low > CHANCE:
        return Standing.ABOVE
    return Standing.BELOW if row.high < CHANCE else Standing.CHANCE


def findings(results: Results) -> Iterator[str]:
    """A sentence or two per method, on the frozen half; then what a method should not see and does."""
    for scores in results.scores:
        yield from _explained(results, scores) if scores.explained else _alone(results, scores)
    for scores in results.scores:
        yield from _surprises(results, scores)


def _explained(results: Results, scores: Scores) -> Iterator[str]:
    method = scores.method
    other, near = (results.row(method, ALL, wrong, TEST) for wrong in (OTHER, NEAR_MISS))
    if other is None or other.auroc is None or near is None or near.auroc is None:
        yield f"{method}: no unit of the frozen half was scored with both explanations."
        return
    numbers = f"true above another unit's {interval_of(other)}, above a near miss {interval_of(near)}, n {near.n}"
    model = f" with {asked}" if (asked := results.about.models.get(method, "")) else ""
    far, close = verdict(other), verdict(near)
    if Standing.TOO_FEW in (far, close):
        yield f"{method}: too few units to tell ({numbers})."
    elif far is not Standing.ABOVE:
        yield f"{method} is {_where(far)}{model}: it can't tell the true explanation from another unit's ({numbers})."
    elif close is not Standing.ABOVE:
        yield (
            f"{method} tells another unit's explanation from the true one, but not a near miss: there it is "
            f"{_where(close)}{model} ({numbers})."
        )
    else:
        yield f"{method} tells the true explanation from wrong ones: {numbers}."


def _where(said: Standing) -> str:
    return "below chance" if said is Standing.BELOW else "at chance"


def _alone(results: Results, scores: Scores) -> Iterator[str]:
    row = results.row(scores.method, ALL, AGAINST_NOISE, TEST)
    if row is None or row.auroc is None:
        yield f"{scores.method}: no unit of the frozen half, or no noise, was scored."
        return
    said = {
        Standing.ABOVE: "tells units that mean something from noise",
        Standing.TOO_FEW: "has too few units to tell them from noise",
    }.get(verdict(row), "can't tell units that mean something from noise")
    yield f"{scores.method} (reads no explanation) {said}: {interval_of(row)}, n {row.n}."


def _surprises(results: Results, scores: Scores) -> Iterator[str]:
    for kind, about in KINDS.items():
        row = results.row(scores.method, kind, NEAR_MISS, BOTH)
        if kind == NOISE or scores.method not in about.unseen or row is None or row.auroc is None:
            continue
        if verdict(row) is Standing.ABOVE:
            yield (
                f"{scores.method} should not see {kind} (it {about.unseen[scores.method]}), and still scores "
                f"{interval_of(row)} there, n {row.n}: the words of the explanations give something away."
            )
