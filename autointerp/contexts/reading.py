"""Contexts read back from their table, in batches that the plan fixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int

from autointerp.errors import BadInput
from autointerp.records import Context, Split
from autointerp.tables import read_arrow


@dataclass(frozen=True)
class ContextBatch:
    """Some contexts of one split."""

    contexts: Int[np.ndarray, " context"]
    """Their ids."""
    tokens: Int[np.ndarray, "context token"]


def count_contexts(path: Path, split: Split) -> int:
    """How many contexts of `split` a contexts table holds."""
    return len(context_ids(path, split))


def context_ids(path: Path, split: Split) -> Int[np.ndarray, " context"]:
    """The ids of a split's contexts, in the table's order."""
    column = read_arrow(path, ["context"], filters=[("split", "==", str(split))])["context"]
    return np.asarray(column.to_numpy(), dtype=np.int64)


def read_batches(path: Path, split: Split, size: int) -> Iterator[ContextBatch]:
    """Contexts of `split` in the table's order, `size` at a time (the last batch may be smaller).

    Streams: memory holds one row group. Raises BadInput when the table is missing.
    """
    rows = _rows(path, split, ["context", "split", "tokens"])
    while part := list(islice(rows, size)):
        ids = np.array([row["context"] for row in part], dtype=np.int64)
        yield ContextBatch(ids, np.stack([np.asarray(row["tokens"], dtype=np.int64) for row in part]))


def read_contexts(path: Path, split: Split, size: int) -> Iterator[list[Context]]:
    """The same, whole: with their texts."""
    rows = _rows(path, split, None)
    while part := list(islice(rows, size)):
        yield [_context(row) for row in part]


def _rows(path: Path, split: Split, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise BadInput(f"no table {path}", "run the corpus stage first: autointerp run STUDY")
    with pq.ParquetFile(path) as file:
        for group in file.iter_batches(batch_size=1024, columns=columns):
            yield from (row for row in group.to_pylist() if row["split"] == split)


def load_contexts(path: Path, wanted: Iterable[int]) -> dict[int, Context]:
    """The contexts with the given ids, whole, by id."""
    table = read_arrow(path, filters=[("context", "in", sorted({int(i) for i in wanted}))])
    return {row["context"]: _context(row) for row in table.to_pylist()}


def _context(row: dict[str, Any]) -> Context:
    return Context(
        context=row["context"],
        split=Split(row["split"]),
        document=row["document"],
        source=row["source"],
        start=row["start"],
        tokens=np.asarray(row["tokens"], dtype=np.int64),
        pieces=tuple(row["pieces"]),
    )
