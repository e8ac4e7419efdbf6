"""`comparison-of-runs.md`: the answer, what differs between the runs, and every number."""

from __future__ import annotations

from collections.abc import Iterator

from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.answer_of_runs import lines_of, over_what
from autointerp.between_runs.compared import ComparedRuns
from autointerp.compare.words import capital, listed, metric_words, number, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.report.markdown import UNKNOWN, escape, prose, table
from autointerp.rows import NO_BASELINE, READ_LITERALLY
from autointerp.units.arms import plain


def page_of_runs(compared: ComparedRuns) -> str:
    """The whole page; the same tables give the same text."""
    return "\n\n".join(part for part in _parts(compared) if part) + "\n"


def _parts(compared: ComparedRuns) -> Iterator[str]:
    first, *rest = [prose(line) for line in lines_of(compared)]
    yield f"# {escape(listed([side.label for side in compared.others]))} against {escape(compared.base.label)}"
    yield f"**{first}**"
    yield "\n".join(f"- {line}" for line in rest)
    yield "![Scores of every arm, run by run](figures/distribution-by-run.png)"
    yield "![Differences from the first run](figures/differences-of-runs.png)"
    yield _keys(compared)
    metrics = list(dict.fromkeys(row.metric for row in compared.rows))
    for metric in metrics:
        yield f"## Differences by {metric_words(metric)}"
        yield _differences([row for row in compared.rows if row.metric == metric])
    yield _how_to_read(compared)
    yield _runs(compared)


def _keys(compared: ComparedRuns) -> str:
    rows = [
        [escape(other.label), f"`{escape(one.key)}`", escape(one.base), escape(one.other),
         escape(", ".join(part for part in one.parts if part)) or UNKNOWN]
        for other in compared.others
        for one in compared.differences[other.label]
    ]  # fmt: skip
    if not rows:
        return ""
    return "## What differs\n\n" + table(["run", "key", "in the first run", "in this run", "part"], rows, left=5)


def _differences(rows: list[BetweenRunsRow]) -> str:
    head = ["run", "contexts", "number", "this run", "first run", "difference", "p", "adjusted p", "could find", "over"]
    return table(head, [_line(row) for row in rows], left=3)


def _line(row: BetweenRunsRow) -> list[str]:
    superior = "" if row.superiority is None else f"; higher in {row.superiority:.0%}"
    note = f"; {row.note}" if row.note else ""
    return [
        escape(row.run), slice_words(row.slice), escape(_number_words(row)),
        with_interval(row.mean, row.low, row.high), with_interval(row.base_mean, row.base_low, row.base_high),
        with_interval(row.difference, row.difference_low, row.difference_high), _p(row.p), _p(row.p_holm),
        number(row.smallest) if row.smallest is not None else UNKNOWN, escape(f"{over_what(row)}{superior}{note}"),
    ]  # fmt: skip


def _number_words(row: BetweenRunsRow) -> str:
    what = {NO_BASELINE: "", READ_LITERALLY: " minus a literal reading"}
    return capital(plain(row.arm)) + what.get(row.baseline, f" minus {plain(row.baseline)}")


def _p(p: float | None) -> str:
    return p_text(p).removeprefix("p = ").removeprefix("p ") or UNKNOWN


def _how_to_read(compared: ComparedRuns) -> str:
    compare = compared.base.study.compare
    return (
        "## How to read it\n\n"
        f"Every difference is this run minus the first, with an interval of {compare.confidence:.0%}. Where a unit is "
        "the same in both runs (one subject, hook and SAE, one name, and the same density and peak on the same "
        "evidence) the difference is taken unit by unit; else the means are independent (Welch's t). p is of signs "
        "that are flipped, or of a permuted Welch's t; of differences of two arms, and over replicates, of t alone. "
        "Holm's adjustment is over all runs: primary are the features in the headline's cell, their scores and their "
        "difference from the baseline; everything else of a metric is secondary. A difference is only called one where "
        f'interval and adjusted p both show it; "no difference" only where it is within {compare.margin:g} by an '
        "equivalence test. *Could find* is the difference found with 80% power. An interval over units covers other "
        "units, and no other text, SAE or draw of explanations."
    )


def _runs(compared: ComparedRuns) -> str:
    rows = []
    for side in (compared.base, *compared.others):
        facts = side.stages["score"].facts
        version = (facts.get("versions") or {}).get("autointerp", UNKNOWN)
        rows.append([escape(side.label), f"`{side.made('scores.parquet')[:12]}`", escape(str(version)),
                     escape(str(facts.get("finished", UNKNOWN)))])  # fmt: skip
    return "## The runs\n\n" + table(["run", "hash of its scores", "autointerp", "scored"], rows, left=4)
