"""What a unit's page shows, packed: 64 units a file, tokens interned, activations as levels from 0 to 255."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from autointerp.browser.run_tables import RunTables
from autointerp.contexts.naming import Named
from autointerp.records import Context, Status

UNITS = 64
"""Units per file."""
_LEVELS = 255
_TOLD = ("text", "explainer", "kind", "evidence_score", "status", "reason", "prompt")


class Interned:
    """Texts, each kept once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Where it is kept."""
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]


def levels_of(values: Float[np.ndarray, " token"], top: float) -> UInt8[np.ndarray, " token"]:
    """Values from 0 to `top` as levels; what is above 0 is never level 0, what is below it is."""
    if top <= 0:
        return np.zeros(len(values), dtype=np.uint8)
    scaled = np.clip(np.nan_to_num(values) / top, 0, 1) * _LEVELS
    return np.where(scaled > 0, np.maximum(np.round(scaled), 1), 0).astype(np.uint8)


def packed(levels: UInt8[np.ndarray, " token"]) -> str | list[int]:
    """Levels as base64, or as place, level, place, level... where most are 0 and that is shorter."""
    active = np.flatnonzero(levels)
    if 8 * len(active) < len(levels) * 4 / 3:
        return [int(n) for place in active for n in (place, levels[place])]
    return base64.b64encode(levels.tobytes()).decode("ascii")


def _places(places: Sequence[int]) -> str | list[int]:
    """Places of texts as base64, two bytes each; as they are in a file of more than 65,536 texts."""
    if max(places, default=0) >= 1 << 16:
        return list(places)
    return base64.b64encode(np.array(places, dtype="<u2").tobytes()).decode("ascii")


class Sharder:
    """Makes the records of units, and remembers the contexts that they show."""

    def __init__(self, tables: RunTables) -> None:
        self._tables = tables
        self._named = Named()
        self._facts = tables.units.drop_duplicates("unit").set_index("unit")
        self._exemplars = dict(list(tables.exemplars.groupby("unit", sort=False)))
        self._scores = dict(list(tables.outcome.scores.groupby("unit", sort=False)))
        self._proposals = dict(list(tables.proposals.groupby(tables.proposals["unit"].astype(str).str.rstrip("+-"))))
        self._relations = dict(list(tables.relations.groupby("unit", sort=False)))
        self._judged = dict(list(tables.judgements.groupby("unit", sort=False)))
        cell, shuffled = tables.outcome.headline, tables.shuffled
        here = shuffled[(shuffled["metric"] == cell.metric) & (shuffled["slice"] == cell.slice)]
        self._shuffled = dict(list(here[here["simulator"] == cell.scorer].groupby("unit", sort=False)))
        requests = tables.proposals.loc[tables.proposals["status"] != Status.OK.value, "request"]
        self._unreadable = tables.unreadable({str(request) for request in requests if request})

    def shard(self, units: Sequence[str]) -> dict[str, Any]:
        """Everything about some units: their texts, contexts and records."""
        texts = Interned()
        records = {unit: self._record(unit, texts) for unit in units}
        contexts: dict[int, Context] = {
            int(row[0]): self._tables.contexts[int(row[0])] for record in records.values() for row in record["contexts"]
        }
        shown = {
            context: [_places([texts.place(piece) for piece in each.pieces]), texts.place(each.source), each.document]
            for context, each in contexts.items()
        }
        return {"texts": texts.texts, "contexts": shown, "units": records}

    def _record(self, unit: str, texts: Interned) -> dict[str, Any]:
        tables = self._tables
        facts = self._facts.loc[unit]
        explanation = tables.explanations.loc[unit]
        told = {name: _known(explanation[name]) for name in _TOLD}
        return {
            "facts": {str(name): _known(facts[name]) for name in facts.index if name != "replicate"},
            "explanation": told,
            "candidates": self._candidates(unit),
            **self._shown(unit, str(explanation["text"])),
            "scores": self._scores_of(unit, texts),
            "shuffled": self._null(unit),
            "judged": self._judged_by(unit),
            "histogram": self._histogram(unit),
            "effects": self._effects(unit),
            "relations": self._near(unit),
        }

    def _candidates(self, unit: str) -> list[list[Any]]:
        """unit, explainer, kind, text, score, chosen, status, reason, answer: every text that was proposed."""
        rows = self._proposals.get(unit.rstrip("+-"))
        if rows is None:
            return []
        columns = ("unit", "explainer", "kind", "text", "evidence_score", "chosen", "status", "reason")
        rows = rows.sort_values(["chosen", "evidence_score"], ascending=False, kind="stable")
        return [
            [*(row[name] for name in columns), self._unreadable.get(str(row["request"]), "")]
            for row in rows.to_dict("records")
        ]

    def _shown(self, unit: str, explanation: str) -> dict[str, Any]:
        """Contexts: id, split, kind, weight, levels, predicted levels or None, literal places; and their scales."""
        rows = self._exemplars.get(unit)
        if rows is None:
            return {"top": 0.0, "predicted_top": None, "contexts": [], "bands": []}
        truths = [np.asarray(values, dtype=np.float64) for values in rows["activations"]]
        top = max((float(values.max()) for values in truths if values.size), default=0.0)
        predictions = [self._predicted(unit, int(context)) for context in rows["context"]]
        highest = max((float(values.max()) for values in predictions if values is not None), default=0.0)
        shown = [self._tables.contexts[int(context)] for context in rows["context"]]
        named = self._named.tokens(explanation, shown) if explanation else np.zeros((len(shown), 0), dtype=bool)
        found = []
        for row, values, predicted, literal in zip(rows.to_dict("records"), truths, predictions, named, strict=True):
            guess = None if predicted is None else packed(levels_of(predicted, highest))
            found.append([int(row["context"]), row["split"], row["kind"], float(row["weight"]),
                          packed(levels_of(values, top)), guess, np.flatnonzero(literal).tolist()])  # fmt: skip
        bands = self._bands(rows, truths)
        return {"top": top, "predicted_top": highest or None, "contexts": found, "bands": bands}

    def _predicted(self, unit: str, context: int) -> Float[np.ndarray, " token"] | None:
        table = self._tables.predicted
        if (unit, context) not in table.index:
            return None
        row: Any = table.loc[(unit, context)]
        return np.asarray(row["predicted"], dtype=np.float64) if row["status"] == Status.OK else None

    def _bands(self, rows: pd.DataFrame, truths: Sequence[Float[np.ndarray, " token"]]) -> list[list[Any]]:
        """split, kind, share of the split's contexts, lowest and highest peak: of every interval of activation."""
        peaks = pd.Series([float(values.max()) if values.size else 0.0 for values in truths], index=rows.index)
        found = []
        for (split, kind), part in rows.groupby(["split", "kind"], sort=False):
            if str(kind).startswith("quantile"):
                share = float(part["weight"].sum()) / self._tables.population[str(split)]
                found.append([split, kind, share, peaks[part.index].min(), peaks[part.index].max()])
        return found

    def _scores_of(self, unit: str, texts: Interned) -> list[list[Any]]:
        """scorer, pairing, metric, slice, reason (places of texts), value, chance, tokens, contexts."""
        rows = self._scores.get(unit)
        if rows is None:
            return []
        words, numbers = (
            ("scorer", "pairing", "metric", "slice", "reason"),
            ("value", "chance", "n_tokens", "n_contexts"),
        )
        return [
            [*(texts.place(str(row[name])) for name in words), *(_short(row[name]) for name in numbers)]
            for row in rows.to_dict("records")
        ]

    def _null(self, unit: str) -> list[list[Any]]:
        """The other unit, and what its explanation scores on this one; best first."""
        rows = self._shuffled.get(unit)
        if rows is None:
            return []
        rows = rows.sort_values("value", ascending=False, kind="stable")
        return [[row["explanation_of"], _known(row["value"]), row["reason"]] for row in rows.to_dict("records")]

    def _judged_by(self, unit: str) -> dict[str, list[list[Any]]]:
        """Per judge: context, token, the right answer, P(yes), reason."""
        rows = self._judged.get(unit)
        if rows is None:
            return {}
        names = ("context", "token", "truth", "probability", "reason")
        return {
            str(judge): [[_known(row[name]) for name in names] for row in part.to_dict("records")]
            for judge, part in rows.groupby("judge", sort=False)
        }

    def _histogram(self, unit: str) -> dict[str, Any] | None:
        frame = self._tables.histograms
        if unit not in frame.index:
            return None
        row: Any = frame.loc[unit]
        return {"tokens": int(row["tokens"]), "top": float(row["top"]), "counts": list(row["counts"])}

    def _effects(self, unit: str) -> dict[str, Any] | None:
        frame = self._tables.effects
        if unit not in frame.index:
            return None
        row: Any = frame.loc[unit]
        return {"promoted": list(row["promoted"]), "suppressed": list(row["suppressed"]), "reason": row["reason"]}

    def _near(self, unit: str) -> list[list[Any]]:
        """arm, by, other, cosine, correlation, chance."""
        rows = self._relations.get(unit)
        names = ("arm", "by", "other", "cosine", "correlation", "chance")
        return [] if rows is None else [[_known(row[name]) for name in names] for row in rows.to_dict("records")]


def _short(value: Any) -> Any:
    """A number to five digits."""
    found = _known(value)
    return float(f"{found:.5g}") if isinstance(found, float) and not found.is_integer() else found


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value
