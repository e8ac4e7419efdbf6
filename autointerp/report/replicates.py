"""What is said of replicates: what one of them leaves open, and what several found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from autointerp.compare.outcome import Outcome
from autointerp.compare.replicates import DRAW, ERROR, ICC, MEAN, RANK, REPLICATE, RESIDUAL, UNIT, read_variance, stays
from autointerp.compare.words import deviation, number, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.metrics.variance import covered
from autointerp.records import Pairing, Status
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.rows import Cell, ComparisonRow
from autointerp.units.arms import plain
from autointerp.variance_rows import VarianceRow

_SPREADS = (0.02, 0.04, 0.06)
"""Standard deviations between replicates for which a run of one says what its interval covers."""
_FEWEST = 3


def sentences(outcome: Outcome) -> Iterator[str]:
    """Over how many replicates the answer is, and the differences over them."""
    rows = read_variance(outcome)
    if outcome.study.compare.replicates == 1:
        if any(outcome.against_baseline(outcome.headline, arm) is not None for arm in outcome.feature_arms):
            yield "One replicate: the interval is over units alone."
        return
    if not rows:
        yield f"Of {outcome.study.compare.replicates} replicates this is one: they are not held together yet."
    for arm in outcome.feature_arms:
        found = _parts(rows, outcome.headline, arm, outcome.baseline_of(arm) or "")
        if MEAN in found and found[MEAN].baseline:
            yield _over(outcome, found)


def of_one(outcome: Outcome) -> Iterator[str]:
    """How often the interval of a run of one replicate would cover the difference, if replicates varied."""
    if outcome.study.compare.replicates == 1:
        yield from _of_one(outcome)


def conditional(outcome: Outcome, row: ComparisonRow, claim: str) -> str:
    """The claim that two arms differ, or what is left of it over replicates; the claim itself in a run of one."""
    found = _parts(read_variance(outcome), row.cell, row.arm, row.baseline).get(MEAN)
    if found is None or _holds(found, row.difference or 0.0, outcome.study.compare.confidence):
        return claim
    shown = with_interval(found.value, found.low, found.high)
    return f"not shown over {found.replicates} replicates: {shown}{_comma(found)}"


def _holds(found: VarianceRow, difference: float, confidence: float) -> bool:
    """Whether the replicates show a difference, and of the same sign."""
    if found.value is None or found.low is None or found.p is None:
        return False
    return found.p < 1 - confidence and found.value * difference > 0


def _comma(row: VarianceRow) -> str:
    return "" if row.p is None else f", {p_text(row.p)}"


def _over(outcome: Outcome, found: dict[str, VarianceRow]) -> str:
    mean = found[MEAN]
    line = (
        f"Over {mean.replicates} replicates, {_redrawn(outcome)} drawn anew: {plain(mean.arm)} minus "
        f"{plain(mean.baseline)} {with_interval(mean.value, mean.low, mean.high)}{_comma(mean)}"
    )
    if mean.note:
        line += f" ({mean.note})"
    between, error = found.get(REPLICATE), found.get(ERROR)
    if between is not None and error is not None and between.value is not None and error.value is not None:
        line += (
            f"; it varies between replicates with a standard deviation of {_root(between)}, beside "
            f"{np.sqrt(error.value):.3f} that the units give by chance in one"
        )
    few = f" {mean.replicates} replicates are few: the interval is wide." if mean.replicates < _FEWEST else ""
    return f"{line}.{few}"


def _redrawn(outcome: Outcome) -> str:
    return ", ".join(outcome.study.compare.redraw)


def _root(row: VarianceRow) -> str:
    """A standard deviation and its interval, of a variance."""
    return UNKNOWN if row.value is None else deviation(row.value, row.low, row.high)


def _parts(rows: Sequence[VarianceRow], cell: Cell, arm: str, baseline: str) -> dict[str, VarianceRow]:
    """By component, without the single draws."""
    at = (cell.scorer, cell.metric, cell.slice, arm, baseline)
    return {
        row.component: row
        for row in rows
        if row.component != DRAW and (row.scorer, row.metric, row.slice, row.arm, row.baseline) == at
    }


def _of_one(outcome: Outcome) -> Iterator[str]:
    found = []
    for arm in outcome.feature_arms:
        row = outcome.against_baseline(outcome.headline, arm)
        error = None if row is None or arm == row.baseline else _error_of_units(outcome, row)
        if row is not None and error:
            shares = [f"{covered(error, spread, outcome.study.compare.confidence):.0%}" for spread in _SPREADS]
            found.append(f"the interval of {plain(arm)} minus {plain(row.baseline)} covers {' / '.join(shares)}")
    if found:
        spreads = " / ".join(f"{spread:g}" for spread in _SPREADS)
        yield (
            "If the difference varies between replicates (another text, SAE, draw of units or explanation) with a "
            f"standard deviation of {spreads}, {'; '.join(found)} instead of "
            f"{outcome.study.compare.confidence:.0%}."
        )


def _error_of_units(outcome: Outcome, row: ComparisonRow) -> float | None:
    """Standard error of a difference of two arms over their units; None where an arm has one unit or nothing varies."""
    cell, scores = row.cell, outcome.scores
    chosen = (scores["scorer"] == cell.scorer) & (scores["metric"] == cell.metric) & (scores["slice"] == cell.slice)
    scored = scores[chosen & (scores["pairing"] == Pairing.OWN.value) & (scores["status"] == Status.OK.value)]
    arms = [scored.loc[scored["arm"] == arm, "value"].to_numpy(dtype=np.float64) for arm in (row.arm, row.baseline)]
    if any(values.size < 2 for values in arms):
        return None
    return float(np.sqrt(sum(values.var(ddof=1) / values.size for values in arms))) or None


def section(outcome: Outcome) -> str:
    """Both tables, or '' in a run of one replicate."""
    rows = read_variance(outcome)
    if not rows:
        return ""
    anew = any(not stays(outcome.study, arm) for arm in outcome.main_arms)
    words = (
        f"{outcome.study.compare.replicates} replicates of this run, each with its own draw of {_redrawn(outcome)}; "
        "what does not depend on that is shared. The interval of a difference is t over replicates; where units are "
        "the same in all of them it is wider by what other units would give. p is not adjusted. `between` is the "
        "standard deviation of the difference between replicates, `by units` what the choice of units gives it by "
        "chance in one replicate. What was not drawn anew is not covered."
    )
    parts = [words, _differences(outcome, rows), _components(outcome, rows)]
    if anew:
        parts.append(
            "Where units are drawn anew, a name does not mean the same unit in two replicates: only means and "
            "differences of arms can be compared, and no score of a unit with that of another replicate."
        )
    return "\n\n".join(part for part in parts if part)


def _differences(outcome: Outcome, rows: Sequence[VarianceRow]) -> str:
    shown = []
    for slice_name in outcome.slices:
        for arm in outcome.feature_arms:
            cell = replace(outcome.headline, slice=slice_name)
            found = _parts(rows, cell, arm, outcome.baseline_of(arm) or "")
            mean = found.get(MEAN)
            if mean is None or not mean.baseline:
                continue
            between, error = found.get(REPLICATE), found.get(ERROR)
            shown.append([
                slice_words(slice_name), escape(f"{plain(arm)} minus {plain(mean.baseline)}"),
                escape(mean.note) or UNKNOWN, with_interval(mean.value, mean.low, mean.high),
                p_text(mean.p).removeprefix("p = ").removeprefix("p ") or UNKNOWN,
                _each(rows, mean), UNKNOWN if between is None else _root(between),
                UNKNOWN if error is None or error.value is None else f"{np.sqrt(error.value):.3f}",
            ])  # fmt: skip
    head = ["contexts", "difference of", "note", "over replicates", "p", "in each", "between", "by units"]
    return table(head, shown, left=3) if shown else ""


def _each(rows: Sequence[VarianceRow], mean: VarianceRow) -> str:
    key = (mean.scorer, mean.metric, mean.slice, mean.arm, mean.baseline)
    return ", ".join(
        number(row.value)
        for row in rows
        if row.component == DRAW and (row.scorer, row.metric, row.slice, row.arm, row.baseline) == key
    )


def _components(outcome: Outcome, rows: Sequence[VarianceRow]) -> str:
    shown = []
    for arm in outcome.arms:
        found = _parts(rows, outcome.headline, arm, "")
        mean = found.get(MEAN)
        if mean is None:
            continue
        again = found.get(ICC)
        shown.append([
            escape(plain(arm)), "the same" if RESIDUAL in found else "drawn anew",
            with_interval(mean.value, mean.low, mean.high),
            *(_root(found[name]) if name in found else UNKNOWN for name in (UNIT, REPLICATE, RESIDUAL)),
            UNKNOWN if again is None else with_interval(again.value, again.low, again.high),
            number(found[RANK].value) if RANK in found else UNKNOWN,
        ])  # fmt: skip
    head = ["arm", "units", "mean", "between units", "between replicates", "residual", "test-retest", "of ranks"]
    words = (
        "Standard deviations of a unit's score, with intervals; of units that are drawn anew the residual is in that "
        "between units. Test-retest is ICC(2,1) of a unit's score in one replicate, `of ranks` Spearman's correlation."
    )
    return f"{words}\n\n{table(head, shown, left=2)}" if shown else ""
