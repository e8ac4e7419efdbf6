"""The tables of the report that are about explanations: what their words alone score, lists and descriptions apart,
and what was proposed. As in `sections`, each function gives Markdown, or '' when the run has nothing for it."""

from __future__ import annotations

from dataclasses import replace

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import number, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.records import Pairing, Status
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.report.sections import mean_cell, p_cell
from autointerp.rows import READ_LITERALLY
from autointerp.simulate.literal import LITERAL, LITERAL_WORDS
from autointerp.tables import PROPOSALS, read_table
from autointerp.units.arms import plain


def literally(outcome: Outcome) -> str:
    """What the words of the explanations score without a model, and what the simulator adds to them."""
    if not outcome.has_literal:
        return ""
    rows = []
    for arm in outcome.arms:
        cells = [replace(outcome.headline, scorer=name) for name in (LITERAL, LITERAL_WORDS)]
        other = outcome.row(cells[0], arm, pairing=Pairing.SHUFFLED)
        null = UNKNOWN if other is None else with_interval(other.mean, other.low, other.high)
        added = outcome.row(outcome.headline, arm, READ_LITERALLY)
        shown = [UNKNOWN] * 3 if added is None else [
            with_interval(added.difference, added.difference_low, added.difference_high), p_cell(added.p), str(added.n),
        ]  # fmt: skip
        rows.append([escape(plain(arm)), *(mean_cell(outcome, cell, arm) for cell in cells), null, *shown])
    words = (
        "No language model: 1 on a token whose text is a word that the explanation names (of a description: a word "
        "that it quotes or that says what it is about), else 0; and 1 on every token of such a word, whatever its "
        f"case. The difference is `{escape(outcome.headline.scorer)}` minus the first, on the same units with the same "
        f"explanations, on {slice_words(outcome.headline.slice)}; a prediction that is the same everywhere counts as "
        "chance."
    )
    head = ["arm", "tokens named", "words named", "tokens named by another's", "simulator minus tokens", "p", "units"]
    return f"### What the words alone score\n\n{words}\n\n{table(head, rows)}"


def kinds(outcome: Outcome) -> str:
    """Lists of words and descriptions apart: which were chosen, and the best of either kind of every unit."""
    rows = []
    for arm in outcome.arms:
        over = outcome.row(outcome.headline, arm, READ_LITERALLY, Pairing.DESCRIPTION)
        if over is None:
            continue
        lists, described = outcome.of_kinds(arm)
        better, n = outcome.descriptions_above_lists(arm)
        null = outcome.row(replace(outcome.headline, scorer=LITERAL), arm, pairing=Pairing.LIST)
        best = outcome.row(outcome.headline, arm, pairing=Pairing.DESCRIPTION)
        rows.append([
            escape(plain(arm)), f"{lists} / {described}",
            *(UNKNOWN if row is None else with_interval(row.mean, row.low, row.high) for row in (best, null)),
            with_interval(over.difference, over.difference_low, over.difference_high), p_cell(over.p), str(over.n),
            f"{better} of {n}",
        ])  # fmt: skip
    if not rows:
        return ""
    words = (
        "A list of words and a description are two things, whoever wrote them. The best of each kind, by the ranking "
        f"on evidence: the description simulated by `{escape(outcome.headline.scorer)}`, the list read literally, with "
        "no model. That is the floor that a language model's description has to beat. All proposals, with their "
        f"scores on evidence, are in `{PROPOSALS}`."
    )
    head = ["arm", "chosen: lists / descriptions", "best description", "best list, literally", "difference", "p",
            "units", "description above list"]  # fmt: skip
    return f"### Lists and descriptions\n\n{words}\n\n{table(head, rows)}"


def proposals(outcome: Outcome) -> str:
    """How many proposals of each explainer were there, how many failed, and why."""
    path = outcome.run_dir / PROPOSALS
    if not path.is_file():
        return ""
    found = read_table(path, ["unit", "explainer", "spare", "chosen", "evidence_score", "status", "reason"])
    rows = []
    for name, of_name in found.groupby("explainer", sort=False):
        lost = of_name[of_name["status"] != Status.OK.value]
        reasons = "; ".join(f"{why}: {count}" for why, count in lost["reason"].value_counts().items())
        rows.append([
            escape(str(name)), escape(reasons) or UNKNOWN, str(len(of_name)), str(int(of_name["spare"].sum())),
            str(len(lost)), str(int(of_name["chosen"].sum())), number(_real(of_name["evidence_score"].mean())),
            number(_real(of_name.loc[of_name["chosen"], "evidence_score"].mean())),
        ])  # fmt: skip
    words = (
        "The best by its score on evidence is chosen, so that score is too good, by the chosen one's mean on evidence "
        "less the same units' on held-out text. Spare ones stand in for those that failed."
    )
    head = ["explainer", "why failed", "proposals", "spare", "failed", "chosen", "mean on evidence", "of the chosen"]
    return f"### What was proposed\n\n{words}\n\n{table(head, rows, left=2)}"


def _real(value: float) -> float | None:
    return None if value != value else float(value)
