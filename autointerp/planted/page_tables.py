"""The tables of `benchmark.md` that compare methods: what they see, the control, kinds, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.benchmark_rows import BenchmarkRow, RecoveryRow
from autointerp.compare.words import number, with_interval
from autointerp.planted.bounds import Standing, share_interval
from autointerp.planted.findings import CONTROLS, NOTHING, amount, interval_of, verdict
from autointerp.planted.meanings import KINDS, NOISE
from autointerp.planted.pairings import EXPLANATIONS
from autointerp.planted.results import Results
from autointerp.planted.sight import Sight, sight, why_blind
from autointerp.planted.statistics import AGAINST_NOISE, BLIND, BOTH, HALVES, SEEN, TEST
from autointerp.planted.units import TRUE, WRONG
from autointerp.report.markdown import escape, table

_MARKS: Mapping[Standing, str] = {
    Standing.ABOVE: "**{}**",
    Standing.BELOW: "{} below chance",
    Standing.CHANCE: "{} at chance",
    Standing.TOO_FEW: "{} too few to tell",
}


FOUND = 0.5
"""Overlap with the rule from which on a meaning counts as found."""
_ENDS = ("evidence", "held_out", "true_list", "overlap")


def headline(results: Results, half: str, form: str, heading: str) -> str:
    """Every method on the kinds that it sees, of one half and one form."""
    rows = []
    for scores in results.scores:
        found = [results.row(scores.method, SEEN, form, wrong, half) for wrong in WRONG]
        last = found[-1]
        if last is None:
            continue
        rows.append((
            escape(scores.method), f"{last.n}", f"{last.foils:.0f}", *(_cell(row) for row in found), _null(last),
            f"{last.coverage:.0%}", amount(last.tokens_per_unit), amount(last.seconds_per_unit),
        ))  # fmt: skip
    if not rows:
        return ""
    head = ("method", "n", "foils", *WRONG, "score with another's", "coverage", "tokens", "seconds")
    legend = (
        "**Bold**: the whole interval is above chance. *foils*: other units' explanations that a unit was held "
        "against. *score with another's*: the mean of the null, which is 0 for a simulator and 0.50 for a judge that "
        "measure the explanation and not the text. *tokens* and *seconds*: for one unit with one explanation, of "
        "methods that read an explanation once for all units for one explanation; `?` where part of the answers came "
        "from the ledger."
    )
    return f"{heading}\n\n{table(head, rows)}\n\n{legend}"


def control(results: Results) -> str:
    """The negative control: kinds that a method is blind to, and why it is."""
    rows, lines = [], []
    for scores in results.scores:
        for form in scores.forms:
            found = [results.row(scores.method, BLIND, form, wrong, TEST) for wrong in CONTROLS]
            first = found[0]
            if first is None:
                continue
            rows.append((escape(scores.method), form, f"{first.n}", f"{first.foils:.0f}", *(_cell(r) for r in found)))
            kinds = [kind for kind in KINDS if sight(scores.method, kind, form) is Sight.BLIND and kind in scores.kinds]
            if form == scores.forms[0] and kinds:
                named = ", ".join(f"`{kind}`" for kind in kinds)
                lines.append(f"- {escape(scores.method)}: {named}; {why_blind(scores.method, kinds[0])}.")
    if not rows:
        return ""
    text = (
        "Here every method must be at chance. One that is above it was told something by the words of the "
        "explanations, or knows which words mostly stand there. A list names tokens, so a method that sees tokens is "
        "not blind to it; and one too broad or too narrow may name words, so they are no control."
    )
    head = ("method", "told as", "n", "foils", *CONTROLS)
    return "\n\n".join([
        "## What a method can't see: the control, frozen half", text, table(head, rows, left=2), "\n".join(lines),
    ])  # fmt: skip


def alone(results: Results) -> str:
    """Methods that read no explanation."""
    rows = []
    for scores in results.scores:
        for half in HALVES:
            row = results.row(scores.method, SEEN, "", AGAINST_NOISE, half)
            if row is not None:
                rows.append((
                    escape(scores.method), half, f"{row.n}", _cell(row), _null(row),
                    f"{row.coverage:.0%}", amount(row.tokens_per_unit), amount(row.seconds_per_unit),
                ))  # fmt: skip
    if not rows:
        return ""
    head = ("method", "half", "n", "P(above noise)", "score of noise", "coverage", "tokens", "seconds")
    text = (
        "These read no explanation, so that there is no wrong one: how often does a unit that means something, of a "
        "kind that the method sees, score above a unit that means nothing?"
    )
    return f"## Methods that read no explanation\n\n{text}\n\n{table(head, rows, left=2)}"


def by_kind(results: Results, wrong: str, form: str, heading: str) -> str:
    """Every method on every kind, whatever it sees of it, with the mark of what that is."""
    methods = [scores for scores in results.scores if form in scores.forms]
    kinds = [kind for kind in KINDS if kind != NOISE and any(kind in scores.kinds for scores in methods)]
    if not kinds or not methods:
        return ""
    rows = []
    for kind in kinds:
        found = [results.row(scores.method, kind, form, wrong, BOTH) for scores in methods]
        rows.append((f"`{kind}`", *(_marked(row, kind, form) for row in found)))
    legend = (
        "Both halves together. *blind*, *partly*: what the method can see of the kind by construction; without a mark, "
        "all of it."
    )
    return f"{heading}\n\n{legend}\n\n{table(('kind', *(escape(scores.method) for scores in methods)), rows)}"


def _marked(row: BenchmarkRow | None, kind: str, form: str) -> str:
    if row is None:
        return NOTHING
    seen = sight(row.method, kind, form)
    mark = "" if seen is Sight.SEEN else f"{seen}: "
    return f"{mark}{_cell(row)}, n {row.n}"


def _cell(row: BenchmarkRow | None) -> str:
    """An AUROC with its interval, marked by what it says."""
    return NOTHING if row is None or row.auroc is None else _MARKS[verdict(row)].format(interval_of(row))


def _null(row: BenchmarkRow) -> str:
    return with_interval(row.null_mean, row.null_low, row.null_high)


def sanity(results: Results) -> str:
    """Whether each metric tells, on each slice, true labels from changed ones."""
    if not results.sanity:
        return ""
    rows = [
        (f"`{row.metric}`", row.slice, row.change, f"{row.n}", f"{row.unscored}",
         with_interval(row.falls, row.low, row.high))
        for row in results.sanity
    ]  # fmt: skip
    text = (
        "No method is asked here: the prediction is the unit's own rule with half of its labels missing, or with as "
        "many false ones added over the whole text (the two tests of Oikarinen et al., ICML 2025). *falls*: how often "
        "the score falls, mean over meanings of both halves, binary units; a metric that passes gives 1. *silent*: "
        "meanings without an active token in the slice. `uniform`: the 60 contexts that are drawn blindly."
    )
    head = ("metric", "slice", "change", "n", "silent", "falls")
    return f"## Do the scores themselves tell?\n\n{text}\n\n{table(head, rows, left=3)}"


def explainers_end(results: Results) -> str:
    """What comes out where an explainer writes the explanations: per ranker and sort of meaning."""
    rows = []
    for name in dict.fromkeys(row.simulator for row in results.recovery):
        for word_like, sort in ((True, "the token decides"), (False, "the context decides")):
            found = [
                r
                for r in results.recovery
                if r.simulator == name and r.half == TEST and KINDS[r.kind].word_like == word_like
            ]
            if found:
                overlaps = [r.overlap or 0.0 for r in found]
                share = _mean_of(results, name, sort, [float(value >= FOUND) for value in overlaps])
                rows.append((
                    escape(name), sort, f"{len(found)}", *(_plain_mean(found, field) for field in _ENDS), share,
                ))  # fmt: skip
    if not rows:
        return ""
    text = (
        "The explainer `exemplars`, which asks no model, lists words of the unit's evidence; the best of its "
        "candidates on evidence, by the simulator, is scored on held-out contexts. *true list*: what the list of the "
        "true meaning scores there. *overlap*: of the held-out tokens that the rule is active on or the explanation "
        f"names, the share of which both is true; *found*: meanings with at least {FOUND:.2f}. A list can't say what "
        "lies in the context, so there nothing should be found. Frozen half, binary units."
    )
    head = ("ranked and scored by", "meanings", "n", "evidence", "held-out", "true list", "overlap", "found")
    return f"## The explainer's end: is the meaning found?\n\n{text}\n\n{table(head, rows, left=2)}"


def _mean_of(results: Results, name: str, sort: str, values: list[float]) -> str:
    rng = rng_of(results.about.seed, "recovery", name, sort)
    share = share_interval(np.array(values), results.about.plan, rng)
    return with_interval(share.value, share.low, share.high)


def _plain_mean(found: Sequence[RecoveryRow], field: str) -> str:
    """Of what is known; what was not explained at all counts as 0."""
    return number(float(np.mean([getattr(row, field) or 0.0 for row in found])))


def calibration(results: Results) -> str:
    """Whether scores fall as explanations get worse."""
    rows = [
        (escape(method), form, f"{found.n}", *(number(found.means[sort].value) for sort in EXPLANATIONS),
         with_interval(found.order.value, found.order.low, found.order.high))
        for (method, form), found in results.calibrations().items() if found.n
    ]  # fmt: skip
    if not rows:
        return ""
    text = (
        "Mean score with each sort of explanation, and how well the scores keep to the order "
        f"*{TRUE}* > *too-broad*, *too-narrow* > *near-miss*, *other* (Somers' d: 1 when every pair of different rank "
        "is in order, 0 for chance). The ranks say how much of the unit an explanation predicts: all of it; a part, or "
        "all among more; nothing. A near miss is in the last rank: however near its words are, it names none of the "
        "unit's tokens. Frozen half, kinds that the method sees."
    )
    return f"## Does the score fall as the explanation gets worse?\n\n{text}\n\n" + table(
        ("method", "told as", "n", *EXPLANATIONS, "order"), rows, left=2
    )
