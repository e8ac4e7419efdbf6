"""Examples of units in the report: their explanations, and held-out text in which they are active."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital, number
from autointerp.plot.samples import Sample, samples_of
from autointerp.records import Kind, Split, Status
from autointerp.report.markdown import code, escape, table
from autointerp.tables import read_arrow
from autointerp.units.arms import plain

_NOT_EXPLAINED = "(none)"
_CONTEXTS = 2
"""Of a unit that are shown."""
_BEFORE, _AFTER = 16, 8
"""Tokens around the peak."""
_SHARE = 0.5
"""Of the peak: tokens from here on are marked."""


def section(outcome: Outcome) -> str:
    """Best, median and worst unit of every arm, and text of those of the features and the baseline; '' without any."""
    samples = {arm: samples_of(outcome, outcome.headline, arm) for arm in outcome.arms}
    texts = _texts(outcome)
    rows = [
        [
            escape(plain(arm)), sample.rank, code(sample.unit),
            escape(texts.get((sample.unit, sample.replicate), _NOT_EXPLAINED)), number(sample.value),
        ]
        for arm, found in samples.items()
        for sample in found
    ]  # fmt: skip
    if not rows:
        return ""
    words = "The best, the median and the worst scored unit of every arm; the texts are the explainer's, as they are."
    parts = [
        f"## Examples in context\n\n{words}", table(["arm", "rank", "unit", "explanation", "score"], rows, left=4)
    ]  # fmt: skip
    shown = {arm: samples[arm] for arm in outcome.main_arms}
    contexts = _contexts(outcome, [sample for found in shown.values() for sample in found])
    for arm, found in shown.items():
        lines = [line for sample in found for line in _of_unit(sample, contexts.get(sample.unit, []))]
        if lines:
            parts.append(f"### {capital(escape(plain(arm)))}\n\n{_HOW}" + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


_HOW = (
    f"The {_CONTEXTS} held-out contexts with the highest activation, {_BEFORE} tokens before the peak and {_AFTER} "
    f"after it. Marked: tokens with at least {_SHARE:.0%} of the peak, which is given in the unit's own scale."
)


def _texts(outcome: Outcome) -> dict[tuple[str, int], str]:
    columns = ["unit", "replicate", "text", "status"]
    return {
        (row["unit"], row["replicate"]): row["text"]
        for row in read_arrow(outcome.run_dir / "explanations.parquet", columns).to_pylist()
        if row["status"] == Status.OK.value
    }


def _of_unit(sample: Sample, contexts: Sequence[tuple[Sequence[str], Any]]) -> Iterator[str]:
    if contexts:
        yield f"- {code(sample.unit)}, the {sample.rank} ({number(sample.value)}):"
    for pieces, values in contexts:
        yield f"  - peak {max(values):.3g}: {in_context(pieces, np.asarray(values, dtype=np.float64))}"


def _contexts(outcome: Outcome, samples: Sequence[Sample]) -> dict[str, list[tuple[Sequence[str], Any]]]:
    """Pieces and activations of the strongest held-out contexts of each unit."""
    units = sorted({sample.unit for sample in samples})
    if not units:
        return {}
    top = [("unit", "in", units), ("kind", "==", Kind.TOP.value)]
    rows = read_arrow(outcome.run_dir / "evidence.parquet", ["unit", "context", "activations"], filters=top).to_pylist()
    wanted = [("context", "in", sorted({row["context"] for row in rows})), ("split", "==", Split.HELD_OUT.value)]
    found = read_arrow(outcome.run_dir / "contexts.parquet", ["context", "pieces"], filters=wanted).to_pylist()
    pieces = {row["context"]: row["pieces"] for row in found}
    by_unit: dict[str, list[tuple[Sequence[str], Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["unit"], -max(row["activations"]), row["context"])):
        here = by_unit.setdefault(row["unit"], [])
        if row["context"] in pieces and len(here) < _CONTEXTS and max(row["activations"]) > 0:
            here.append((pieces[row["context"]], row["activations"]))
    return by_unit


def in_context(pieces: Sequence[str], values: Float[np.ndarray, " token"]) -> str:
    """The text around the highest of `values` (one per piece, above 0 somewhere) as Markdown on one line.

    Pieces with at least half of the highest value are spans of code; all else is escaped.
    """
    peak = int(np.argmax(values))
    first, last = max(0, peak - _BEFORE), min(len(pieces), peak + _AFTER + 1)
    shown = [(pieces[place], bool(values[place] >= _SHARE * values[peak])) for place in range(first, last)]
    parts = ["\u2026 "] if first else []
    for marked, group in groupby((one for one in shown if one[0]), key=lambda one: one[1]):
        parts.append(_spaced("".join(piece for piece, _ in group), marked))
    line = "".join(parts + ([" \u2026"] if last < len(pieces) else []))
    return re.sub(" +", " ", line).strip()


def _spaced(text: str, marked: bool) -> str:
    """A span with the white space at its ends outside of it, so that the words around it stay apart."""
    core = text.strip(" ")
    if not core:
        return " "
    before, after = (" " if text[place] in " \n\r\t" else "" for place in (0, -1))
    inner = code(core, 10_000, cell=False) if marked else escape(core, 10_000)
    return f"{before if not marked or text[0] == ' ' else ''}{inner}{after if not marked or text[-1] == ' ' else ''}"
