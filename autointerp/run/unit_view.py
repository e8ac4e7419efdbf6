"""A unit in a notebook: its explanation, its scores beside their nulls, and its contexts, as tables and as HTML.

The HTML holds text and inline colours alone: no script, nothing loaded, all text escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import BadInput

if TYPE_CHECKING:  # the command line imports `Run`, and answers --help at once
    import pandas as pd

_SHOWN = 4
"""Contexts of a kind that the HTML shows."""
_BEFORE, _AFTER = 14, 10
"""Tokens around the peak."""
_TRUE, _PREDICTED = "0, 114, 178", "213, 94, 0"


@dataclass(frozen=True)
class UnitView:
    """One unit of a finished run."""

    folder: Path
    unit: str

    @cached_property
    def facts(self) -> "pd.Series[Any]":
        """Its row of `units`. Raises BadInput for a unit that the run has not drawn."""
        rows = self._table("units")
        found = rows[rows["unit"] == self.unit]
        if not len(found):
            near = get_close_matches(self.unit, rows["unit"], 1, 0.0)
            raise BadInput(
                f"the run has no unit '{self.unit}'", f"did you mean '{near[0]}'? run.table('units') has all"
            )
        return found.iloc[0]

    @cached_property
    def explanation(self) -> str:
        """The chosen explanation; '' where there is none."""
        rows = self._of("explanations")
        return str(rows["text"].iloc[0]) if len(rows) else ""

    @cached_property
    def scores(self) -> "pd.DataFrame":
        """Its rows of `scores`: every scorer, pairing, metric and slice."""
        return self._of("scores").reset_index(drop=True)

    @cached_property
    def contexts(self) -> "pd.DataFrame":
        """A row per context, in the order of `evidence`.

        Columns: context, split, kind, weight, pieces, activations and predicted (lists, one value per token; predicted
        by the headline's simulator, None where it predicted nothing).
        """
        texts = self._table("contexts").set_index("context")
        rows = self._of("evidence").drop(columns=["unit", "replicate"])
        simulated = self._of("simulations")
        simulated = simulated[(simulated["simulator"] == self._cell.scorer) & (simulated["status"] == "ok")]
        predicted = simulated.drop_duplicates("context").set_index("context")["predicted"]
        rows["split"] = rows["context"].map(texts["split"])
        rows["pieces"] = rows["context"].map(texts["pieces"])
        rows["predicted"] = [predicted.get(context) for context in rows["context"]]
        order = ["context", "split", "kind", "weight", "pieces", "activations", "predicted"]
        return rows[order].reset_index(drop=True)

    @cached_property
    def _cell(self) -> Any:
        from autointerp.compare.outcome import headline_of
        from autointerp.study_file import RUN_STUDY, load_study

        return headline_of(load_study(self.folder / RUN_STUDY))

    def _table(self, name: str) -> "pd.DataFrame":
        from autointerp.tables import read_table

        return read_table(self.folder / f"{name}.parquet")

    def _of(self, name: str) -> "pd.DataFrame":
        rows = self._table(name)
        return rows[(rows["unit"] == self.unit) & (rows["replicate"] == 0)]

    def score(self, scorer: str | None = None, pairing: str = "own") -> float | None:
        """The headline's metric on the headline's contexts; by its simulator, or another scorer. None: unscored."""
        cell, rows = self._cell, self.scores
        found = rows[(rows["scorer"] == (scorer or cell.scorer)) & (rows["pairing"] == pairing)
                     & (rows["metric"] == cell.metric) & (rows["slice"] == cell.slice)]["value"].dropna()  # fmt: skip
        return float(found.iloc[0]) if len(found) else None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        facts, cell = self.facts, self._cell
        told = [
            (self.score(), "its explanation"), (self.score(pairing="shuffled"), "others' explanations (its null)"),
            (self.score("literal"), "read literally, no model"), (self.score("lookup"), "a token table, no text"),
        ]  # fmt: skip
        cells = "".join(f"<td style='padding-right:1.5em'><b>{_number(value)}</b> {name}</td>" for value, name in told)
        body = "".join(self._group(split, kind, title) for split, kind, title in _GROUPS)
        explanation = _text(self.explanation) if self.explanation else "<i>no explanation</i>"
        return (
            f"<div style='font-family:sans-serif'><div><b>{_text(self.unit)}</b> {_text(str(facts['arm']))}, "
            f"{_text(str(facts['hook']))}</div><div style='font-size:1.15em;margin:.3em 0'>{explanation}</div>"
            f"<table><tr>{cells}</tr></table><div style='opacity:.7'>{_text(cell.metric)}, {_text(cell.slice)}; "
            f"<span style='background:rgba({_TRUE},.4)'>true</span> above, "
            f"<span style='background:rgba({_PREDICTED},.4)'>predicted</span> below</div>{body}</div>"
        )

    def _group(self, split: str, kind: str, title: str) -> str:
        rows = self.contexts
        rows = rows[(rows["split"] == split) & (rows["kind"] == kind)].head(_SHOWN)
        if not len(rows):
            return ""
        top = max((max(values, default=0.0) for values in self.contexts["activations"]), default=0.0)
        highest = max((max(v, default=0.0) for v in self.contexts["predicted"] if v is not None), default=0.0)
        lines = []
        for row in rows.to_dict("records"):
            part = _around(row["activations"], row["predicted"])
            line = _row(row["pieces"][part], row["activations"][part], top, _TRUE)
            if row["predicted"] is not None:
                line += _row(row["pieces"][part], row["predicted"][part], highest, _PREDICTED)
            lines.append(f"<div style='margin:.4em 0;font-family:monospace'>{line}</div>")
        return f"<div style='margin-top:.6em'><b>{title}</b></div>{''.join(lines)}"


_GROUPS = (
    ("held-out", "top", "Held out, top"),
    ("held-out", "random", "Held out, random"),
    ("evidence", "top", "Evidence, top"),
)


def _around(truth: Sequence[float], predicted: Sequence[float] | None) -> slice:
    """The tokens around the peak of the truth, or of the prediction where the unit is silent."""
    decides = truth if max(truth, default=0.0) > 0 or predicted is None else predicted
    peak = max(range(len(decides)), key=lambda place: decides[place], default=0)
    return slice(max(0, peak - _BEFORE), peak + _AFTER)


def _row(pieces: Sequence[str], values: Sequence[float], top: float, colour: str) -> str:
    shades = [max(0.0, float(value)) / top if top > 0 else 0.0 for value in values]
    spans = (
        f"<span title='{float(value):.3g}' style='background:rgba({colour},{0.65 * shade:.2f})'>{_text(piece)}</span>"
        for piece, value, shade in zip(pieces, values, shades, strict=True)
    )
    return f"<div style='white-space:pre-wrap'>{''.join(spans)}</div>"


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.2f}".replace("-", "−")


def _text(text: str) -> str:
    from autointerp.quoting import visible

    return f"<bdi>{escape(visible(text))}</bdi>"
