"""Which gathered contexts the explainer sees, and which rank its candidates: never the same, never held-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autointerp.errors import CheckFailed
from autointerp.records import Context, Exemplar, Kind, Split
from autointerp.tables import read_arrow


@dataclass(frozen=True)
class UnitEvidence:
    """The evidence of one unit, shared out."""

    unit: str
    shown: tuple[Exemplar, ...]
    """For the explainer: every other top and random context and hard negative, the first included, and the quantile
    bands."""
    ranking: tuple[Exemplar, ...]
    """For the ranking of candidates: the other top and random contexts and hard negatives, less those shown."""


def share_out(unit: str, exemplars: Sequence[Exemplar]) -> UnitEvidence:
    """Split a unit's evidence between explainer and ranking, in the order in which it was gathered."""
    tops = [e for e in exemplars if e.kind == Kind.TOP]
    randoms = [e for e in exemplars if e.kind == Kind.RANDOM]
    bands = [e for e in exemplars if e.kind.startswith(Kind.QUANTILE)]
    hard = [e for e in exemplars if e.kind.startswith(Kind.HARD_NEGATIVE)]
    shown = (*tops[0::2], *bands, *randoms[0::2], *hard[0::2])
    seen = {e.context for e in shown}
    ranking: dict[int, Exemplar] = {}
    for exemplar in (*tops[1::2], *randoms[1::2], *hard[1::2]):
        if exemplar.context not in seen:
            ranking.setdefault(exemplar.context, exemplar)
    return UnitEvidence(unit, shown, tuple(ranking.values()))


def read_exemplars(path: Path) -> dict[str, list[Exemplar]]:
    """All rows of an evidence table, by unit, in the table's order."""
    columns = read_arrow(path)
    names = columns["unit"].to_pylist()
    contexts, kinds, weights = (columns[c].to_pylist() for c in ("context", "kind", "weight"))
    replicates = columns["replicate"].to_pylist()
    lists = columns["activations"].combine_chunks()
    offsets = np.asarray(lists.offsets)
    flat = np.asarray(lists.values, dtype=np.float32)
    rows: dict[str, list[Exemplar]] = {}
    for position, name in enumerate(names):
        values = flat[offsets[position] : offsets[position + 1]]
        exemplar = Exemplar(name, replicates[position], contexts[position], kinds[position], weights[position], values)
        rows.setdefault(name, []).append(exemplar)
    return rows


def assert_evidence_only(exemplars: Sequence[Exemplar], contexts: Mapping[int, Context]) -> None:
    """Raise CheckFailed when a context of another split is about to reach the explainer or the ranking."""
    for exemplar in exemplars:
        split = contexts[exemplar.context].split
        if split != Split.EVIDENCE:
            raise CheckFailed(f"{exemplar.unit}: context {exemplar.context} is of split '{split}', not evidence")
