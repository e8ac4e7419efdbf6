"""What is told of an explanation's score, in a number and in words, where a page has room for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.words import metric_words, number, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.records import Pairing, Status
from autointerp.units.arms import plain


@dataclass(frozen=True)
class ToldScores:
    """The headline's score of one explanation."""

    value: float | None
    """None where there is none."""
    words: str
    """What it is, beside what chance gives and the arm's mean with its interval; or why there is none."""


TOLD_NOTHING = ToldScores(None, "Not scored.")


def told_scores(run: Path) -> Mapping[str, ToldScores]:
    """By unit, from the run's tables; nothing where it was not scored yet."""
    if not all((run / f"{name}.parquet").is_file() for name in ("scores", "comparison")):
        return {}
    outcome = read_outcome(run)
    cell, scores = outcome.headline, outcome.scores
    here = scores[
        (scores["scorer"] == cell.scorer) & (scores["metric"] == cell.metric) & (scores["slice"] == cell.slice)
    ]
    null = {
        row["unit"]: row["value"]
        for row in here[here["pairing"] == Pairing.SHUFFLED].to_dict("records")
        if row["status"] == Status.OK
    }
    arms = {arm: _of_arm(outcome, arm) for arm in outcome.arms}
    found = {}
    for row in here[here["pairing"] == Pairing.OWN].to_dict("records"):
        unit = str(row["unit"])
        if row["status"] != Status.OK:
            found[unit] = ToldScores(None, f"Not scored by autointerp: {row['reason']}.")
            continue
        with_others = number(null[unit]) if unit in null else "unknown"
        found[unit] = ToldScores(
            float(row["value"]),
            f"Scored by autointerp: {metric_words(cell.metric)} {number(row['value'])} ({cell.scorer}, on "
            f"{slice_words(cell.slice)}); with other units' explanations {with_others}, chance "
            f"{number(row['chance'])}; {arms[row['arm']]}.",
        )
    return found


def _of_arm(outcome: Outcome, arm: str) -> str:
    row = outcome.row(outcome.headline, arm)
    if row is None or row.mean is None:
        return f"mean of {plain(arm)} unknown"
    return f"mean of {plain(arm)} {with_interval(row.mean, row.low, row.high)}, {row.n} units"
