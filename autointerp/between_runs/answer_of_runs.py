"""What several runs show, in plain sentences: the answer first, then what differs between them."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.compared import ComparedRuns
from autointerp.between_runs.settings import RunPart, parts_of
from autointerp.between_runs.sides import Side
from autointerp.compare.words import capital, listed, number, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.metrics.intervals import EQUAL
from autointerp.report.answer import concluded, difference_of
from autointerp.rows import READ_LITERALLY
from autointerp.units.arms import is_feature, plain

_AS_WRITTEN = ("sparse-json", "sparse-words")
"""Simulators whose values are as a model writes them, and no expected values."""


def lines_of(compared: ComparedRuns) -> list[str]:
    """The answer of every run that is held against the first, most important first; then what is not the same."""
    found: list[str] = []
    for other in compared.others:
        found += _answer(compared, other)
    for other in compared.others:
        found += _apart(compared, other)
    return found


def _answer(compared: ComparedRuns, other: Side) -> Iterator[str]:
    for arm in compared.main_arms:
        yield from _scores(compared, other, arm)
    for arm in filter(is_feature, compared.main_arms):
        yield from _of_arms(compared, other, arm)
    for arm in compared.main_arms:
        yield from _beyond_words(compared, other, arm)
    for name in compared.slices:
        if name != compared.headline.slice:
            yield from _elsewhere(compared, other, name)


def _scores(compared: ComparedRuns, other: Side, arm: str) -> Iterator[str]:
    row = compared.row(other.label, arm)
    if row is not None:
        own = f"{_mean(row.mean, row.low, row.high)} in {row.run} ({row.n} units)"
        theirs = f"{_mean(row.base_mean, row.base_low, row.base_high)} in {row.base} ({row.base_n} units)"
        yield f"{capital(plain(arm))} score {own} and {theirs}; {row.run} minus {row.base} {_said(compared, row)}."


def _of_arms(compared: ComparedRuns, other: Side, arm: str) -> Iterator[str]:
    baseline = compared.base.outcome.baseline_of(arm)
    row = compared.row(other.label, arm, baseline) if baseline else None
    if row is not None:
        yield _of_both(compared, row, f"{capital(plain(arm))} minus {plain(row.baseline)}")


def _beyond_words(compared: ComparedRuns, other: Side, arm: str) -> Iterator[str]:
    row = compared.row(other.label, arm, READ_LITERALLY)
    if row is not None:
        words = "What the simulator adds to a literal reading of the explanations"
        yield _of_both(compared, row, f"{words}, {plain(arm)}")


def _of_both(compared: ComparedRuns, row: BetweenRunsRow, what: str) -> str:
    own = f"{_mean(row.mean, row.low, row.high)} in {row.run}"
    both = f"{own} and {_mean(row.base_mean, row.base_low, row.base_high)} in {row.base}"
    return f"{what}: {both}; the first less the second {_said(compared, row)}."


def _elsewhere(compared: ComparedRuns, other: Side, slice_name: str) -> Iterator[str]:
    rows = [compared.row(other.label, arm, slice_name=slice_name) for arm in compared.main_arms]
    told = [f"{capital(plain(row.arm))} {_said(compared, row)}" for row in rows if row is not None]
    if told:
        yield f"On {slice_words(slice_name)}, {other.label} minus {compared.base.label}. {'. '.join(told)}."


def _mean(value: float | None, low: float | None, high: float | None) -> str:
    return "nothing (no unit could be scored)" if value is None else with_interval(value, low, high)


def _said(compared: ComparedRuns, row: BetweenRunsRow) -> str:
    """A difference of two runs, over what it was taken, and what it allows to say."""
    if row.difference is None:
        return f"can't be given ({row.note})"
    if row.note == EQUAL and not row.difference:
        return f"{number(row.difference)}, {over_what(row)}: the same in each"
    words = ("larger", "smaller") if row.baseline else ("higher", "lower")
    more, less = (f"{word} in {row.run}" for word in words)
    said = concluded(row, compared.base.study.compare, more, less, "this comparison")
    return f"{difference_of(row)}, {over_what(row)}: {said}"


def over_what(row: BetweenRunsRow) -> str:
    """`over the same 64 units`, or over other ones, and why; with replicates over these."""
    units = f"the same {row.paired} units" if row.paired is not None else f"units of their own ({row.unpaired})"
    return f"over {units}" if row.replicates == 1 else f"over {row.replicates} replicates of {units}"


def _apart(compared: ComparedRuns, other: Side) -> Iterator[str]:
    base, differences = compared.base.label, compared.differences[other.label]
    parts = parts_of(differences)
    keys = "; ".join(f"{one.key} {one.other} (in {base} {one.base})" for one in differences)
    if not parts:
        told = f" but these, on which no score depends: {keys}" if keys else ""
        yield f"{other.label} and {base} have no key that differs{told}: another machine or version, or nothing."
    elif len(parts) == 1:
        yield f"{other.label} differs from {base} in {parts[0]} alone: {keys}."
    else:
        yield (
            f"{other.label} differs from {base} in {listed(parts)}: no difference can be put down to one of them. "
            f"{keys}."
        )
    if RunPart.SIMULATOR in parts:
        yield from _of_simulators(compared, other)
    yield from compared.grounds[other.label].left_out


def _of_simulators(compared: ComparedRuns, other: Side) -> Iterator[str]:
    """What must be read beside scores of two simulators."""
    for arm in compared.main_arms:
        row = compared.row(other.label, arm)
        if row is not None and row.paired:
            yield (
                f"Of {row.paired} {plain(arm)} {row.same_explanations} have the same explanation in both: the "
                "simulator ranks candidates too, so a difference is of the choice as well where explanations differ."
            )
    scorers = {compared.headline.scorer, other.outcome.headline.scorer}
    if len(scorers) > 1 and (written := sorted(scorers & set(_AS_WRITTEN))):
        yield f"{listed(written)} gives values as a model writes them, no expected ones: these scores are of two kinds."
