"""What pages say of the run itself: its answer, its arms with their intervals, what failed, where it is from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.artifacts import hash_file
from autointerp.browser.run_tables import RunTables
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import metric_words
from autointerp.contexts.slices import slice_words
from autointerp.plot.style import colour_of
from autointerp.records import Pairing, Status
from autointerp.report.answer import answer
from autointerp.report.provenance import provenance
from autointerp.rows import ComparisonRow
from autointerp.run.manifest import IMPORT, read_manifest
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.units.arms import plain

_MARK = re.compile(r"\\(?=[!-/:-@\[-`{-~])")


def facts(tables: RunTables, near: str) -> dict[str, Any]:
    """`near`: why relations between units are not known; '' where they are."""
    outcome, cell = tables.outcome, tables.outcome.headline
    return {
        "id": hash_file(tables.run / "units.parquet")[:16],
        "name": tables.run.resolve().name,
        "answer": [_plain(line) for line in answer(outcome)],
        "cell": {
            "scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice,
            "words": f"{metric_words(cell.metric)}, {slice_words(cell.slice)}",
        },
        "arms": [_arm(tables, arm) for arm in outcome.arms],
        "near": near,
        "published": IMPORT in read_manifest(tables.run),
        "failures": list(_failures(tables)),
        "provenance": [_plain(line.removeprefix("- ")) for line in provenance(outcome).splitlines()],
        "model": outcome.study.subject.model,
        "text": Path(outcome.study.corpus.source).name,
        "start_token": outcome.study.subject.start_token,
        "seeds": _seeds(outcome),
        "effects": bool(len(tables.effects)),
        "report": (tables.run / "report.html").is_file(),
    }  # fmt: skip


def _seeds(outcome: Outcome) -> str:
    """The seed, and those of parts that have one of their own."""
    own = outcome.study.seeds.model_dump(mode="json", exclude_none=True)
    return ", ".join([str(outcome.study.seed), *(f"{name} {seed}" for name, seed in own.items())])


def _plain(markdown: str) -> str:
    """A line of the report without Markdown's marks; it is shown as text."""
    return _MARK.sub("", markdown).replace("`", "").replace("**", "").replace("&lt;", "<").replace("&amp;", "&")


def _arm(tables: RunTables, arm: str) -> dict[str, Any]:
    outcome, cell = tables.outcome, tables.outcome.headline
    literal = replace(cell, scorer=LITERAL)
    return {
        "arm": arm,
        "words": plain(arm),
        "colour": colour_of(arm),
        "own": _interval(outcome.row(cell, arm)),
        "shuffled": _interval(_shuffled(outcome, arm)),
        "literal": _interval(outcome.row(literal, arm)) if outcome.has_literal else None,
        "table": _interval(outcome.row(replace(cell, scorer=LOOKUP), arm)) if outcome.has_lookup else None,
        "band": _band(tables, arm),
    }


def _band(tables: RunTables, arm: str) -> dict[str, Any] | None:
    """Where 95% of the arm's scores with other units' explanations are; in a folder that has not kept each of them,
    95% of the units' means over them."""
    cell, null = tables.outcome.headline, tables.shuffled
    single = len(null) > 0
    if single:
        mine = null["unit"].isin(tables.units.loc[tables.units["arm"] == arm, "unit"])
        null = null[mine & (null["simulator"] == cell.scorer) & (null["metric"] == cell.metric)
                    & (null["slice"] == cell.slice) & (null["status"] == Status.OK.value)]  # fmt: skip
    else:
        means = tables.of(cell.scorer, Pairing.SHUFFLED)
        null = means[(means["arm"] == arm) & (means["status"] == Status.OK.value)]
    if not len(null):
        return None
    low, high = (float(null["value"].quantile(share)) for share in (0.025, 0.975))
    return {"low": low, "high": high, "n": len(null), "single": single}


def _shuffled(outcome: Outcome, arm: str) -> ComparisonRow | None:
    return outcome.row(outcome.headline, arm, pairing=Pairing.SHUFFLED)


def _interval(row: ComparisonRow | None) -> dict[str, Any] | None:
    if row is None or row.mean is None:
        return None
    return {
        "mean": row.mean,
        "low": row.low,
        "high": row.high,
        "n": row.n,
        "unscored": row.unscored,
        "chance": row.chance,
    }


def _failures(tables: RunTables) -> Iterator[dict[str, Any]]:
    """Everything that came to nothing: where, which units, why, and what the answer was that could not be read."""
    proposals = tables.proposals
    failed = proposals[proposals["status"] != Status.OK.value]
    texts = tables.unreadable({str(request) for request in failed["request"] if request})
    for row in failed.to_dict("records"):
        yield _failure("proposal", row["unit"], row["explainer"], row["reason"], texts.get(str(row["request"]), ""))
    for row in _wrong(tables.explanations.reset_index()).to_dict("records"):
        answer_text = texts.get(str(row["request"]), "")
        yield _failure("explanation", row["unit"], row["explainer"], row["reason"], answer_text)
    own = tables.headline_scores
    for row in _wrong(own[own["pairing"] == Pairing.OWN.value]).to_dict("records"):
        yield _failure("score", row["unit"], row["scorer"], row["reason"])
    predicted = tables.predicted.reset_index()
    for (unit, scorer, reason), rows in _wrong(predicted).groupby(["unit", "simulator", "reason"], sort=False):
        yield _failure("simulation", str(unit), str(scorer), f"{reason} ({len(rows)} contexts)", _answer(rows))
    for (unit, judge, reason), rows in _wrong(tables.judgements).groupby(["unit", "judge", "reason"], sort=False):
        yield _failure("judgement", str(unit), str(judge), f"{reason} ({len(rows)} items)", _answer(rows))
    for row in tables.units[tables.units["status"] == Status.EXCLUDED.value].to_dict("records"):
        yield _failure("unit", row["unit"], "", row["reason"])


def _wrong(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == Status.UNSCORED.value]


def _answer(rows: pd.DataFrame) -> str:
    """The first answer that is recorded; runs of before record none."""
    found = rows["answer"] if "answer" in rows else pd.Series(dtype="object")
    return next((str(text) for text in found if text), "")


def _failure(stage: str, unit: str, who: str, reason: str, said: str = "") -> dict[str, Any]:
    return {"stage": stage, "unit": unit, "who": who, "reason": reason, "answer": said}
