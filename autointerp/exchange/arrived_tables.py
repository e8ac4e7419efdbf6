"""The tables of a run whose units, contexts and explanations came from elsewhere, as the stages before simulate leave
them in a run of our own; and what is told of where they are from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.artifacts import hash_value, write_json
from autointerp.contexts.naming import kind_of
from autointerp.exchange.arriving import Arrived, Sharing, arrived
from autointerp.exchange.held_apart import PlacedRow
from autointerp.exchange.published import PublishedFeature, PublishedFolder
from autointerp.published_rows import PublishedExplanationRow
from autointerp.records import Context, Exemplar, Kind, Split, Status, Unscored
from autointerp.report.imported import IMPORTED
from autointerp.rows import DocumentRow, EffectsRow, ExplanationRow, state_of
from autointerp.tables import EFFECTS, write_table

TABLES_WRITTEN = ("documents", "contexts", "units", "evidence", "explanations", "published")
_NO_EXPLANATION = Unscored("no explanation is published")
_NO_EFFECTS = Unscored("what it promotes is not published")


class _Contexts:
    """Every row that is used of every feature: a document of one context, with the ids of its tokens."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.documents: list[DocumentRow] = []
        self._by_text: dict[tuple[Any, ...], int] = {}
        self._ids: dict[str, int] = {}

    def add(self, one: Arrived) -> dict[int, int]:
        """The context of every row of a feature that is used; the same text of one feature is one context."""
        return {placed.row: self._context(one, placed) for placed in one.placed}

    def _context(self, one: Arrived, placed: PlacedRow) -> int:
        pieces = one.rows[placed.row].pieces
        known = (one.feature.key, placed.split, pieces)
        if known not in self._by_text:
            number = self._by_text[known] = len(self.contexts)
            tokens = np.array([self._ids.setdefault(piece, len(self._ids)) for piece in pieces], dtype=np.int64)
            _, source, index = one.feature.key
            name = f"{source}#{index}.{number}"
            self.contexts.append(Context(number, placed.split, number, name, 0, tokens, pieces))
            text = "".join(pieces)
            digest = hash_value([list(map(str, one.feature.key)), placed.split, list(pieces)])[:16]
            self.documents.append(
                DocumentRow(number, name, placed.split, "", len(text), len(pieces), contexts=1, text_hash=digest)
            )
        return self._by_text[known]


def write_arrived(run: Path, published: PublishedFolder, sharing: Sharing, folder: str) -> dict[str, Any]:
    """Write the tables and `import.json`, which is given back: counts, and what was left out, by reason."""
    units, length, left_out = arrived(published, sharing)
    contexts = _Contexts()
    context_of = [contexts.add(one) for one in units]
    sizes = Counter(context.split for context in contexts.contexts)
    rows: dict[str, Sequence[Any]] = {
        "documents": contexts.documents,
        "contexts": contexts.contexts,
        "units": [one.unit for one in units],
        "evidence": [
            row for one, found in zip(units, context_of, strict=True) for row in _exemplars(one, found, sizes)
        ],
        "explanations": [_explanation(one) for one in units],
        "published": [row for one in units for row in _published(one)],
    }
    for name in TABLES_WRITTEN:
        write_table(name, run / f"{name}.parquet", rows[name])
    write_table("effects", run / EFFECTS, [_effects(one) for one in units])
    about = _about(units, published, sharing, left_out + published.left_out)
    about |= {"folder": folder, "context": length, "contexts": {str(split): sizes[split] for split in sorted(sizes)}}
    write_json(run / IMPORTED, about)
    return about


def _exemplars(one: Arrived, context_of: dict[int, int], sizes: Counter[Split]) -> Iterator[Exemplar]:
    for placed in one.placed:
        weight = placed.weight if placed.share is None else placed.share * sizes[placed.split]
        values = one.rows[placed.row].values
        yield Exemplar(one.unit.unit, 0, context_of[placed.row], placed.kind, weight, values)


def _explanation(one: Arrived) -> ExplanationRow:
    text = _NO_EXPLANATION if one.text is None else one.text.text
    told = text if isinstance(text, str) else ""
    return ExplanationRow(
        unit=one.unit.unit, arm=one.unit.arm, explainer=one.explainer, replicate=0, text=told,
        candidates=len(one.feature.texts), evidence_score=None, prompt="", request="", status=state_of(text)[0],
        reason=state_of(text)[1], kind=kind_of(told) if told else "",
    )  # fmt: skip


def _published(one: Arrived) -> Iterator[PublishedExplanationRow]:
    if one.text is not None:
        text = one.text
        yield PublishedExplanationRow(
            one.unit.unit, "/".join(one.feature.key[:2]), one.feature.key[2], text.id, text.author, text.method,
            text.model, text.score_v1, text.score_v2,
        )  # fmt: skip


def _effects(one: Arrived) -> EffectsRow:
    feature = one.feature
    state = state_of("" if feature.promoted else _NO_EFFECTS)
    return EffectsRow(one.unit.unit, feature.promoted, feature.suppressed, *state)


def _about(
    units: Sequence[Arrived], published: PublishedFolder, sharing: Sharing, left_out: Counter[str]
) -> dict[str, Any]:
    features = published.features
    kinds = [{placed.kind for placed in one.placed if placed.split == Split.HELD_OUT} for one in units]
    return {
        "format": 1,
        "models": list(dict.fromkeys(feature.key[0] for feature in features)),
        "sources": list(dict.fromkeys("/".join(feature.key[:2]) for feature in features)),
        "hooks": list(dict.fromkeys(one.unit.hook for one in units if one.unit.hook)),
        "features": {"there": published.there, "explained": published.explained, "drawn": len(features)},
        "units": len(units),
        "unscored": dict(Counter(one.unit.reason for one in units if one.unit.status != Status.OK)),
        "without_random": sum(bool(found) and Kind.RANDOM not in found for found in kinds),
        "rows": sum(len(feature.rows) for feature in features),
        "seen": sharing.seen,
        "as_exported_here": sum(_is_told(feature) for feature in features),
        "left_out": dict(left_out),
    }


def _is_told(feature: PublishedFeature) -> bool:
    return bool(feature.told_rows)
