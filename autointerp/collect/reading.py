"""Contexts read back from their table, in batches that the plan fixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int

from autointerp.errors import BadInput
from autointerp.records import Context, Split
from autointerp.tables import read_arrow


@dataclass(frozen=True)
class Batch:
    """Some contexts of one split."""

    contexts: Int[np.ndarray, " context"]
    """Their ids."""
    tokens: Int[np.ndarray, "context token"]


def count_contexts(path: Path, split: Split) -> int:
    """How many contexts of `split` a contexts table holds."""
    return int(read_arrow(path, ["context"], filters=[("split", "==", str(split))]).num_rows)


def context_ids(path: Path, split: Split) -> Int[np.ndarray, " context"]:
    """The ids of a split's contexts, in the table's order."""
    column = read_arrow(path, ["context"], filters=[("split", "==", str(split))])["context"]
    return np.asarray(column.to_numpy(), dtype=np.int64)


def read_batches(path: Path, split: Split, size: int) -> Iterator[Batch]:
    """Contexts of `split` in the table's order, `size` at a time (the last batch may be smaller).

    Streams: memory holds one row group. Raises BadInput when the table is missing.
    """
    if not path.is_file():
        raise BadInput(f"no table {path}", "run the corpus stage first: autointerp run STUDY")
    ids: list[int] = []
    rows: list[np.ndarray] = []
    with pq.ParquetFile(path) as file:
        for group in file.iter_batches(batch_size=1024, columns=["context", "split", "tokens"]):
            columns = group.to_pydict()
            for context, where, tokens in zip(columns["context"], columns["split"], columns["tokens"], strict=True):
                if where != split:
                    continue
                ids.append(context)
                rows.append(np.asarray(tokens, dtype=np.int64))
                if len(ids) == size:
                    yield Batch(np.asarray(ids, dtype=np.int64), np.stack(rows))
                    ids, rows = [], []
    if ids:
        yield Batch(np.asarray(ids, dtype=np.int64), np.stack(rows))


def load_contexts(path: Path, wanted: Iterable[int]) -> dict[int, Context]:
    """The contexts with the given ids, whole, by id."""
    table = read_arrow(path, filters=[("context", "in", sorted({int(i) for i in wanted}))])
    return {row["context"]: _context(row) for row in table.to_pylist()}


def _context(row: dict[str, object]) -> Context:
    return Context(
        context=int(str(row["context"])),
        split=Split(str(row["split"])),
        document=int(str(row["document"])),
        source=str(row["source"]),
        start=int(str(row["start"])),
        tokens=np.asarray(row["tokens"], dtype=np.int64),
        pieces=tuple(row["pieces"]),  # type: ignore[arg-type]
    )
