"""The tables of the report: each function gives one section as Markdown, or '' when the run has nothing for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from autointerp.compare.outcome import Outcome
from autointerp.compare.strata import NOT_SINGLE_TOKEN, SINGLE_TOKEN, SINGLE_TOKEN_SHARE, STRATA
from autointerp.compare.words import capital, metric_words, number, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.records import Pairing, Status
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.rows import OWN_SHUFFLED, PRIMARY, SECONDARY, TOKEN_TABLE, Cell, ComparisonRow
from autointerp.simulate.lookup import LOOKUP
from autointerp.tables import read_table
from autointerp.units.arms import is_feature, plain
from autointerp.units.scrambled import subject_of

_STRATA = {SINGLE_TOKEN: "single-token", NOT_SINGLE_TOKEN: "the others"}


def scores(outcome: Outcome) -> str:
    """Per slice, every arm with its interval."""
    parts = []
    for slice_name in outcome.slices:
        cell = replace(outcome.headline, slice=slice_name)
        rows = [row for arm in outcome.arms if (row := outcome.row(cell, arm)) is not None]
        parts.append(f"#### On {slice_words(slice_name)}\n\n{_arms_table(rows)}{_notes(rows)}")
    confidence = f"{outcome.study.compare.confidence:.0%}"
    head = (
        f"{capital(metric_words(outcome.headline.metric))} of predicted with true activations over a unit's pooled "
        f"held-out tokens, with {confidence} intervals over units. How many could not be scored, and why, is under "
        "Coverage."
    )
    return "\n\n".join(["### Scores", head, *parts])


def _arms_table(rows: Iterable[ComparisonRow]) -> str:
    return table(["arm", "mean", "median", "scored"], [[
        escape(plain(row.arm)), with_interval(row.mean, row.low, row.high),
        with_interval(row.median, row.median_low, row.median_high), str(row.n),
    ] for row in rows])  # fmt: skip


def _notes(rows: Iterable[ComparisonRow]) -> str:
    """What is special about some intervals, below their table; '' where nothing is."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            name = f"{plain(row.arm)} minus {plain(row.baseline)}" if row.baseline else plain(row.arm)
            said.setdefault(row.note, []).append(escape(name))
    return "".join(f"\n\n{', '.join(dict.fromkeys(names))}: {escape(note)}." for note, names in said.items())


def chance(outcome: Outcome) -> str:
    """What each arm scores with other units' explanations, and by how much its own are better."""
    rows = []
    for arm in outcome.arms:
        null = outcome.row(outcome.headline, arm, pairing=Pairing.SHUFFLED)
        over = outcome.row(outcome.headline, arm, OWN_SHUFFLED)
        if null is not None and over is not None:
            rows.append([
                escape(plain(arm)), with_interval(null.mean, null.low, null.high),
                with_interval(over.difference, over.difference_low, over.difference_high), *_tests(over), str(over.n),
            ])  # fmt: skip
    if not rows:
        return ""
    there = min(outcome.study.compare.derangements, outcome.study.scrambled.derangements)
    fewer = f", {there} in scrambled subjects" if any(map(subject_of, outcome.arms)) else ""
    words = (
        "Each unit was also scored with other units' explanations of its arm (mean over "
        f"{outcome.study.compare.derangements} seeded derangements{fewer}). A simulator that scores the text and not "
        "the explanation would do well here."
    )
    head = ["arm", "another unit's explanation", "own minus another's, per unit", "p", "Holm p", "units"]
    return f"### What chance gives\n\n{words}\n\n{table(head, rows)}"


def _tests(row: ComparisonRow) -> list[str]:
    return [p_cell(row.p), p_cell(row.p_holm)]


def p_cell(p: float | None) -> str:
    """A p-value for a table, without its name."""
    return p_text(p).removeprefix("p = ").removeprefix("p ") or UNKNOWN


def differences(outcome: Outcome) -> str:
    """Features minus every other arm, per slice, with both p-values."""
    shown = [
        row
        for slice_name in outcome.slices
        for row in outcome.contrasts(replace(outcome.headline, slice=slice_name))
        if row.baseline != OWN_SHUFFLED
    ]
    rows = [
        [slice_words(row.slice), f"{plain(row.arm)} minus {plain(row.baseline)}", *_difference(row)] for row in shown
    ]
    if not rows:
        return ""
    asked = sum(row.family == PRIMARY for row in outcome.rows)
    tested = sum(
        row.family == SECONDARY and row.scorer == outcome.headline.scorer and row.metric == outcome.headline.metric
        for row in outcome.rows
    )
    words = (
        "Differences of means and of medians (two independent samples of units; studentised permutation test of means, "
        "two-sided). "
        f"Holm p is adjusted within a family: the comparison with {plain(outcome.study.compare.baseline)} on the first "
        f"slice was asked in advance ({asked} of these), the other {tested} questions of this score are the second "
        "family. `could find` is the difference that a test at 5% finds with 80% power. The last column is the "
        "probability that a random unit of the first arm scores above one of the second (0.5: neither)."
    )
    head = ["contexts", "difference of", *_DIFFERENCE]
    return f"### Differences\n\n{words}\n\n{table(head, rows, left=2)}{_notes(shown)}"


_DIFFERENCE = ("difference", "p", "Holm p", "could find", "units", "of medians", "superiority")


def _difference(row: ComparisonRow) -> list[str]:
    shown = with_interval(row.difference, row.difference_low, row.difference_high)
    above = with_interval(row.superiority, row.superiority_low, row.superiority_high)
    return [
        shown,
        *_tests(row),
        UNKNOWN if row.smallest is None else number(row.smallest),
        f"{row.n} v {row.n_baseline}",
        UNKNOWN
        if row.median_difference is None
        else with_interval(row.median_difference, row.median_difference_low, row.median_difference_high),
        above,
    ]


def strata(outcome: Outcome) -> str:
    """Features minus the baseline among single-token units and among the others."""
    rows = []
    for slice_name in outcome.slices:
        for stratum in STRATA[1:]:
            cell = replace(outcome.headline, slice=slice_name, stratum=stratum)
            for arm in outcome.feature_arms:
                row = outcome.against_baseline(cell, arm)
                if row is not None:
                    difference = f"{plain(row.arm)} minus {plain(row.baseline)}"
                    rows.append([slice_words(slice_name), _STRATA[stratum], difference, *_difference(row)])
    if not rows:
        return ""
    words = (
        f"A unit is single-token when at least {SINGLE_TOKEN_SHARE:.0%} of its top evidence contexts peak on one "
        "and the same "
        "token. Naming the token explains it, and a model with random weights has many such units."
    )
    head = ["contexts", "units that are", "difference of", *_DIFFERENCE]
    return f"### Single-token units and the others\n\n{words}\n\n{table(head, rows, left=3)}"


def ceiling(outcome: Outcome) -> str:
    """What a table of tokens reaches without explanation or language model."""
    if not outcome.has_lookup:
        return ""
    rows = []
    for arm in outcome.arms:
        shown = [mean_cell(outcome, replace(outcome.headline, slice=s, scorer=LOOKUP), arm) for s in outcome.slices]
        gap = outcome.row(outcome.headline, arm, TOKEN_TABLE)
        apart = UNKNOWN if gap is None else with_interval(gap.difference, gap.difference_low, gap.difference_high)
        rows.append([escape(plain(arm)), *shown, apart, UNKNOWN if gap is None else str(gap.n)])
    words = (
        "Mean activation per token in the evidence, looked up for every held-out token: no explanation and no language "
        "model. It is what an explanation could reach that named every token with its strength, and nothing more. The "
        f"difference is paired, on {slice_words(outcome.headline.slice)}; a prediction that is the same everywhere is "
        "taken for chance."
    )
    head = ["arm", *(slice_words(s) for s in outcome.slices), "explanations minus table", "units"]
    return f"### The ceiling for explanations that name tokens\n\n{words}\n\n{table(head, rows)}"


def mean_cell(outcome: Outcome, cell: Cell, arm: str) -> str:
    """The mean of an arm with its interval, for a table."""
    row = outcome.row(cell, arm)
    return UNKNOWN if row is None else with_interval(row.mean, row.low, row.high)


def other_metrics(outcome: Outcome) -> str:
    """The same arms by the metrics that are not the headline's."""
    parts = []
    for metric in outcome.study.score.metrics:
        if metric == outcome.headline.metric:
            continue
        cells = [replace(outcome.headline, metric=metric, slice=s) for s in outcome.slices]
        rows = [[escape(plain(arm)), *(mean_cell(outcome, cell, arm) for cell in cells)] for arm in outcome.arms]
        for arm in outcome.feature_arms:
            found = [outcome.against_baseline(cell, arm) for cell in cells]
            if any(found):
                name = f"{plain(arm)} minus {plain(outcome.baseline_of(arm) or '')}"
                rows.append([name, *(UNKNOWN if row is None else _difference(row)[0] for row in found)])
        head = ["arm", *(slice_words(s) for s in outcome.slices)]
        parts.append(f"### The same by {metric_words(metric)}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def units(outcome: Outcome) -> str:
    """Density, peak share and number of candidate explanations per arm, and the orientation of signed units."""
    sampled = outcome.units[outcome.units["status"] != Status.EXCLUDED.value]
    explained = read_table(outcome.run_dir / "explanations.parquet", ["arm", "candidates"])
    rows = []
    for arm in outcome.arms:
        of_arm = sampled[sampled["arm"] == arm]
        up, down = int((of_arm["sign"] > 0).sum()), int((of_arm["sign"] < 0).sum())
        candidates = explained.loc[explained["arm"] == arm, "candidates"].dropna()
        rows.append([
            escape(plain(arm)), f"{up} up, {down} down" if down else UNKNOWN, str(len(of_arm)), _span(candidates),
            f"{of_arm['density'].median():.2%}", f"{of_arm['single_token'].median():.0%}",
        ])  # fmt: skip
    words = [
        "Density is the share of evidence tokens on which a unit is active; the peak share is the share of its top "
        "evidence contexts that peak on their commonest peak token (medians over units)."
    ]
    if any(arm.startswith("neuron") for arm in outcome.arms):
        words.append("A neuron is signed: both orientations were candidates, and one was chosen on evidence.")
    head = ["arm", "orientation", "sampled", "candidate explanations", "density", "peak share"]
    return f"### The units\n\n{' '.join(words)}\n\n{table(head, rows, left=2)}"


def _span(counts: pd.Series) -> str:
    if counts.empty:
        return UNKNOWN
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def how_to_read(outcome: Outcome) -> str:
    """What a score is, and is not."""
    first = plain(next((a for a in outcome.arms if is_feature(a)), outcome.arms[0]))
    return (
        "## How to read it\n\n"
        f"An explainer saw some of a unit's activations on *evidence* text and wrote an explanation. A simulator "
        f"(`{escape(outcome.headline.scorer)}`) read only the explanation and predicted the unit's activation on "
        "*held-out* "
        f"text. The score is the correlation of prediction and truth: 1 is perfect, 0 is what an explanation of "
        "something "
        f"else gets, below 0 is worse than that. It measures explainer and simulator together: a low score of "
        f"{first} can "
        "mean an unclear unit, a poor explanation or a simulator that doesn't understand it. Compare scores within "
        "one run "
        "only. A unit that can't be scored is counted, never set to 0 and never left out silently."
    )
