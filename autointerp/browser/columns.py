"""The list of all units, column by column, small enough that 100,000 of them are sorted and filtered in the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from autointerp.browser.run_tables import RunTables
from autointerp.browser.unit_files import UNITS
from autointerp.records import Pairing, Status
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP

_PEAKS = 6
"""Peak tokens of a unit that its row can be found by."""


def columns(tables: RunTables) -> dict[str, Any]:
    """Every unit of every arm: those with a page, the excluded ones, and what the survey found besides.

    Texts that repeat (arms, SAEs, hooks, reasons) are codes into lists of their own. Numbers are null where unknown;
    what is missing at the end of a column is unknown, or empty.
    """
    drawn = tables.units.drop_duplicates("unit")
    other = tables.survey[~tables.survey["unit"].isin(set(drawn["unit"]))]
    frame = pd.concat([drawn, _not_drawn(other)], ignore_index=True) if len(other) else drawn.reset_index(drop=True)
    paged = {unit: place for place, unit in enumerate(tables.sampled)}
    own = tables.of(tables.outcome.headline.scorer)
    ranks = own["value"].groupby(own["arm"]).rank(ascending=False, method="min")
    sizes = own["value"].groupby(own["arm"]).transform("count")
    units = frame["unit"].astype(str)
    status, reason = _state(frame, own, tables)
    return {
        "count": len(frame),
        "units": units.tolist(),
        "page": _rounded([paged.get(unit) for unit in units], 0),
        **_coded("arm", frame["arm"]), **_coded("sae", frame["sae"]), **_coded("hook", frame["hook"]),
        **_coded("subject", frame["subject"]), **_coded("status", status), **_coded("reason", reason),
        **_coded("kind", units.map(tables.explanations["kind"]).fillna("")),
        "index": frame["index"].astype(int).tolist(),
        "density": _rounded(frame["density"], 7),
        "peak": _rounded(frame["max_activation"], 4),
        "single": _rounded(frame["single_token"], 3),
        "entropy": _rounded(units.map(_column(tables.covariates, "peak_entropy")), 3),
        "score": _rounded(units.map(own["value"]), 4),
        "rank": _rounded(units.map(ranks), 0),
        "of": _rounded(units.map(sizes), 0),
        "literal": _rounded(units.map(tables.of(LITERAL)["value"]), 4),
        "table": _rounded(units.map(tables.of(LOOKUP)["value"]), 4),
        "shuffled": _rounded(units.map(tables.of(tables.outcome.headline.scorer, Pairing.SHUFFLED)["value"]), 4),
        "text": _trimmed(units.map(tables.explanations["text"]).fillna("").tolist()),
        "tokens": _trimmed(_tokens(tables, units)),
        "per_shard": UNITS,
    }  # fmt: skip


def _not_drawn(survey: pd.DataFrame) -> pd.DataFrame:
    return survey.assign(status="not drawn", reason="", subject="")


def _state(frame: pd.DataFrame, own: pd.DataFrame, tables: RunTables) -> tuple["pd.Series[str]", "pd.Series[str]"]:
    """What became of each unit: excluded, not drawn, unexplained, unscored or scored; and why."""
    units, explained = frame["unit"], tables.explanations
    status = frame["status"].astype(str).copy()
    reason = frame["reason"].fillna("").astype(str).copy()
    sampled = status == Status.OK.value
    for source, name in ((explained, "unexplained"), (own, "unscored")):
        wrong = sampled & (units.map(source["status"]) == Status.UNSCORED.value)
        status[wrong] = name
        reason[wrong] = units.map(source["reason"])[wrong]
        sampled &= ~wrong
    status[sampled] = np.where(units[sampled].isin(own.index), "scored", "sampled")
    return status, reason


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    return frame[name] if len(frame) else pd.Series(dtype="float64")


def _coded(name: str, values: "pd.Series[str]") -> dict[str, Any]:
    codes, names = pd.factorize(values.fillna("").astype(str))
    return {name: codes.tolist(), f"{name}_names": names.tolist()}


def _rounded(values: Iterable[Any], digits: int) -> list[float | int | None]:
    """The numbers up to the last that is known: what follows is unknown."""
    numbers = pd.to_numeric(pd.Series(list(values)), errors="coerce")
    known = np.flatnonzero(numbers.notna())
    kept = numbers[: known[-1] + 1] if known.size else numbers[:0]
    return [None if pd.isna(n) else int(n) if digits == 0 else round(float(n), digits) for n in kept]


def _trimmed(texts: list[str]) -> list[str]:
    """The texts up to the last that is not empty."""
    last = max((place for place, text in enumerate(texts) if text), default=-1)
    return texts[: last + 1]


def _tokens(tables: RunTables, units: "pd.Series[str]") -> list[str]:
    """The tokens under the peaks of each unit's top contexts, and those that it promotes, to search in."""
    top = tables.exemplars[tables.exemplars["kind"] == "top"]
    found: dict[str, list[str]] = {}
    for unit, context, values in zip(top["unit"], top["context"], top["activations"], strict=True):
        peak = tables.contexts[int(context)].pieces[int(np.argmax(values))].strip()
        seen = found.setdefault(str(unit), [])
        if peak and peak not in seen and len(seen) < _PEAKS:
            seen.append(peak)
    promoted: Mapping[str, Any] = dict(tables.effects["promoted"]) if len(tables.effects) else {}
    return [" ".join([*found.get(unit, ()), *(str(t).strip() for t in promoted.get(unit, ()))]) for unit in units]
