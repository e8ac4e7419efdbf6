"""What the numbers say, in sentences and as aligned lines: which methods tell right from wrong, which are at chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autointerp.benchmark_rows import BenchmarkRow
from autointerp.compare.words import with_interval
from autointerp.planted.bounds import Standing, standing
from autointerp.planted.meanings import DESCRIPTION, WORD_LIST
from autointerp.planted.results import Results
from autointerp.planted.statistics import AGAINST_NOISE, BLIND, SEEN, TEST, Scores
from autointerp.planted.units import NEAR_MISS, OTHER, WRONG
from autointerp.progress import aligned

NOTHING = "-"
_HEAD = ("method", "told as", "n", "foils", *WRONG, "another's score", "coverage", "tokens", "seconds")
CONTROLS = (OTHER, NEAR_MISS)
"""Sorts of wrong explanation between which a blind method must be at chance. One too narrow may name words, and then it
is told from the true one rightly."""


def headline_lines(results: Results) -> Iterator[str]:
    """One line per method and form, on what the method can see of the frozen half; then what the columns are."""
    lines = [_cells(results, scores, form) for scores in results.scores for form in scores.forms]
    yield from aligned([_HEAD, *(line for line in lines if line)])
    yield ""
    yield "P(the true explanation scores above the wrong one) over the meanings of the frozen half that the method can"
    yield "see by construction; 0.50 is chance. n: meanings; foils: other units' explanations each is held against."
    for scores in results.scores:
        if not scores.explained and (row := results.row(scores.method, SEEN, "", AGAINST_NOISE, TEST)) is not None:
            yield (
                f"{scores.method} reads no explanation: P(a unit that means something scores above one that means "
                f"nothing) {interval_of(row)}, n {row.n}."
            )
        yield from controls(results, scores)
    for reason, names in results.about.left_by_reason.items():
        yield f"not run: {', '.join(names)}: {reason}"


def _cells(results: Results, scores: Scores, form: str) -> Sequence[str]:
    """Nothing where the method sees nothing that is told so, or reads no explanation."""
    rows = [results.row(scores.method, SEEN, form, wrong, TEST) for wrong in WRONG]
    known = [row for row in rows if row is not None]
    if not known:
        return ()
    last = next((row for row in reversed(known) if row.n), known[-1])
    return (
        scores.method,
        form,
        str(last.n),
        f"{last.foils:.0f}",
        *(NOTHING if row is None else interval_of(row) for row in rows),
        with_interval(last.null_mean, last.null_low, last.null_high),
        f"{last.coverage:.0%}",
        amount(last.tokens_per_unit),
        amount(last.seconds_per_unit),
    )


def interval_of(row: BenchmarkRow) -> str:
    """`0.87 [0.81, 0.92]`, of a line of the table."""
    return with_interval(row.auroc, row.low, row.high)


def amount(value: float | None) -> str:
    """A number of tokens or seconds: three digits, or `?` when it is not known."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def verdict(row: BenchmarkRow) -> Standing:
    """What a line of the table says."""
    return standing(row.low, row.high, row.n)


def findings(results: Results) -> Iterator[str]:
    """A sentence or two per method and form, on the frozen half; then what a method should not see and does."""
    for scores in results.scores:
        if not scores.explained:
            yield from _alone(results, scores)
        for form in (DESCRIPTION, WORD_LIST):
            yield from _explained(results, scores, form)
    for scores in results.scores:
        yield from controls(results, scores)


def _explained(results: Results, scores: Scores, form: str) -> Iterator[str]:
    method = f"{scores.method}, told {'in descriptions' if form == DESCRIPTION else 'in lists'}"
    other, near = (results.row(scores.method, SEEN, form, wrong, TEST) for wrong in (OTHER, NEAR_MISS))
    if other is None or near is None:
        return
    if other.auroc is None and near.auroc is None:
        yield f"{method}: no unit of the frozen half was scored with its own explanation and a wrong one."
        return
    model = f" with {asked}" if (asked := results.about.models.get(scores.method, "")) else ""
    far, close = verdict(other), verdict(near)
    numbers = f"true above another unit's {interval_of(other)}, {other.foils:.0f} foils a unit"
    if near.auroc is None or other.auroc is None:
        wrong, row = ("another unit's explanation", other) if near.auroc is None else ("a near miss", near)
        numbers = numbers if near.auroc is None else f"true above a near miss {interval_of(near)}"
        far = verdict(row)
        said = f"tells {wrong} from the true one" if far is Standing.ABOVE else f"is {far}{model}"
        yield f"{method}, {said}: {numbers}, n {row.n}; no other sort was scored."
        return
    numbers += f", above a near miss {interval_of(near)}, n {near.n}"
    if far is Standing.ABOVE and close is Standing.ABOVE:
        yield f"{method}, tells the true explanation from wrong ones: {numbers}."
    elif far is Standing.ABOVE:
        what = "too few to tell a near miss" if close is Standing.TOO_FEW else f"of a near miss it is {close}{model}"
        yield f"{method}, tells another unit's explanation from the true one; {what} ({numbers})."
    elif far is Standing.TOO_FEW:
        yield f"{method}: too few to tell ({numbers})."
    else:
        yield f"{method}, is {far}{model}: it can't tell the true explanation from another unit's ({numbers})."


def _alone(results: Results, scores: Scores) -> Iterator[str]:
    row = results.row(scores.method, SEEN, "", AGAINST_NOISE, TEST)
    if row is None or row.auroc is None:
        yield f"{scores.method}: no unit of the frozen half, or no noise, was scored."
        return
    said = {
        Standing.ABOVE: "tells units that mean something from noise",
        Standing.TOO_FEW: "has too few units to tell them from noise",
    }.get(verdict(row), "can't tell units that mean something from noise")
    yield f"{scores.method} (reads no explanation) {said}: {interval_of(row)}, n {row.n}."


def controls(results: Results, scores: Scores) -> Iterator[str]:
    """Where the negative control does not hold: a method tells what it is blind to."""
    for form in scores.forms:
        for wrong in CONTROLS:
            row = results.row(scores.method, BLIND, form, wrong, TEST)
            if row is not None and verdict(row) in (Standing.ABOVE, Standing.BELOW):
                yield (
                    f"The control fails for {scores.method} ({form}, {wrong}): {interval_of(row)}, n {row.n}, on kinds "
                    "that it can't see: the words of the explanations tell which words stand there."
                )
