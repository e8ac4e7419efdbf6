"""The run folder's tables: where they lie, one schema each, written atomically, read back as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.artifacts import atomic_path
from autointerp.errors import BadInput

_TEXT, _INT, _REAL = pa.string(), pa.int32(), pa.float64()
_VECTOR = pa.list_(pa.float32())
_STATE = [("status", _TEXT), ("reason", _TEXT)]


def _schema(*fields: tuple[str, Any]) -> pa.Schema:
    return pa.schema(list(fields))


TRAIN = "work/train.parquet"
CANDIDATES = "work/candidates.parquet"
EFFECTS = "work/effects.parquet"
EVIDENCE = "work/evidence.parquet"
HELD_OUT = "work/held-out.parquet"
TABLES = "work/token_tables.safetensors"
REVISIONS = "revisions.parquet"
"""Files that one stage of a run leaves for another, by path in the run folder."""

SCHEMAS: Mapping[str, pa.Schema] = {
    "documents": _schema(
        ("document", _INT), ("source", _TEXT), ("split", _TEXT), ("licence", _TEXT), ("characters", _INT),
        ("tokens", _INT), ("contexts", _INT), ("text_hash", _TEXT),
    ),
    "contexts": _schema(
        ("context", _INT), ("split", _TEXT), ("document", _INT), ("source", _TEXT), ("start", _INT),
        ("tokens", pa.list_(_INT)), ("pieces", pa.list_(_TEXT)),
    ),
    "units": _schema(
        ("unit", _TEXT), ("replicate", _INT), ("arm", _TEXT), ("hook", _TEXT), ("sae", _TEXT), ("index", _INT),
        ("sign", _INT), ("threshold", _REAL), ("density", _REAL), ("max_activation", _REAL),
        ("single_token", _REAL), *_STATE,
    ),
    "evidence": _schema(
        ("unit", _TEXT), ("replicate", _INT), ("context", _INT), ("kind", _TEXT), ("weight", _REAL),
        ("activations", _VECTOR),
    ),
    "effects": _schema(
        ("unit", _TEXT), ("promoted", pa.list_(_TEXT)), ("suppressed", pa.list_(_TEXT)), *_STATE,
    ),
    "explanations": _schema(
        ("unit", _TEXT), ("arm", _TEXT), ("explainer", _TEXT), ("replicate", _INT), ("text", _TEXT),
        ("candidates", _INT), ("evidence_score", _REAL), ("prompt", _TEXT), ("request", _TEXT), *_STATE,
    ),
    "revisions": _schema(
        ("unit", _TEXT), ("first", _TEXT), ("first_score", _REAL), ("revision", _TEXT), ("revision_score", _REAL),
        ("kept", _TEXT), *_STATE,
    ),
    "simulations": _schema(
        ("unit", _TEXT), ("simulator", _TEXT), ("replicate", _INT), ("context", _INT), ("predicted", _VECTOR),
        ("scale", _TEXT), *_STATE,
    ),
    "shuffled": _schema(
        ("unit", _TEXT), ("explanation_of", _TEXT), ("simulator", _TEXT), ("replicate", _INT),
        ("derangement", _INT), ("metric", _TEXT), ("slice", _TEXT), ("value", _REAL), *_STATE,
    ),
    "judgements": _schema(
        ("unit", _TEXT), ("explanation_of", _TEXT), ("derangement", _INT), ("judge", _TEXT), ("prompt", _TEXT),
        ("replicate", _INT), ("context", _INT), ("shown", _INT), ("truth", pa.bool_()), ("probability", _REAL),
        *_STATE,
    ),
    "scores": _schema(
        ("unit", _TEXT), ("arm", _TEXT), ("pairing", _TEXT), ("explainer", _TEXT), ("scorer", _TEXT),
        ("metric", _TEXT), ("slice", _TEXT), ("replicate", _INT), ("value", _REAL), ("chance", _REAL),
        ("n_tokens", _INT), ("n_contexts", _INT), *_STATE,
    ),
    "comparison": _schema(
        ("scorer", _TEXT), ("metric", _TEXT), ("slice", _TEXT), ("stratum", _TEXT), ("pairing", _TEXT),
        ("arm", _TEXT), ("baseline", _TEXT), ("n", _INT), ("n_baseline", _INT), ("unscored", _INT),
        ("excluded", _INT), ("coverage", _REAL), ("reasons", _TEXT), ("mean", _REAL), ("low", _REAL),
        ("high", _REAL), ("median", _REAL), ("median_low", _REAL), ("median_high", _REAL),
        ("mean_unscored_at_chance", _REAL), ("chance", _REAL), ("difference", _REAL), ("difference_low", _REAL),
        ("difference_high", _REAL), ("superiority", _REAL), ("p", _REAL), ("p_holm", _REAL), ("note", _TEXT),
    ),
    "benchmark": _schema(
        ("method", _TEXT), ("kind", _TEXT), ("wrong", _TEXT), ("auroc", _REAL), ("low", _REAL), ("high", _REAL),
        ("null_mean", _REAL), ("null_low", _REAL), ("null_high", _REAL), ("coverage", _REAL),
        ("tokens_per_unit", _REAL), ("seconds_per_unit", _REAL), ("n", _INT), ("half", _TEXT),
    ),
    "benchmark_scores": _schema(
        ("method", _TEXT), ("unit", _TEXT), ("kind", _TEXT), ("half", _TEXT), ("graded", pa.bool_()),
        ("density", _REAL), ("explanation", _TEXT), ("text", _TEXT), ("value", _REAL), *_STATE,
    ),
    "usage": _schema(
        ("stage", _TEXT), ("model", _TEXT), ("requests", _INT), ("cached", _INT), ("attempts", _INT),
        ("uncertain", _INT), ("input_tokens", pa.int64()), ("cached_input_tokens", pa.int64()),
        ("output_tokens", pa.int64()), ("cost_usd", _REAL), ("saved_input_tokens", pa.int64()),
        ("saved_output_tokens", pa.int64()), ("saved_usd", _REAL),
    ),
}  # fmt: skip
"""Columns of every table. An unknown number is null, never 0."""


def _rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [{f: getattr(row, f) for f in row.__dataclass_fields__} if is_dataclass(row) else dict(row) for row in rows]


def to_table(name: str, rows: Iterable[Any]) -> pa.Table:
    """Make a table of schema `name` out of dataclasses or mappings (arrays become lists)."""
    schema = SCHEMAS[name]
    records = _rows(rows)
    columns = {field.name: pa.array([r[field.name] for r in records], type=field.type) for field in schema}
    return pa.table(columns, schema=schema)


class TableWriter:
    """Writes one table in chunks, so that memory does not grow with the number of rows."""

    def __init__(self, name: str, path: Path, chunk: int = 2048) -> None:
        self._name, self._chunk, self._pending = name, chunk, list[Any]()
        schema = SCHEMAS[name]
        # A dictionary only costs room where values hardly repeat.
        repeating = [f.name for f in schema if f.type not in (_VECTOR, _REAL)]
        self._writer = pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=12, use_dictionary=repeating
        )
        self.rows = 0
        """Rows written so far."""

    def add(self, row: Any) -> None:
        """Append a dataclass or a mapping."""
        self._pending.append(row)
        self.rows += 1
        if len(self._pending) >= self._chunk:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(to_table(self._name, self._pending))
            self._pending.clear()

    def close(self) -> None:
        """Write what is pending, and the footer."""
        self._flush()
        self._writer.close()


@contextmanager
def table_writer(name: str, path: Path) -> Iterator[TableWriter]:
    """A TableWriter whose file appears at `path` only when it is whole."""
    with atomic_path(path) as temporary:
        writer = TableWriter(name, temporary)
        try:
            yield writer
        finally:
            writer.close()


def write_table(name: str, path: Path, rows: Iterable[Any]) -> None:
    """Write a whole table, atomically; the same rows give the same bytes."""
    with table_writer(name, path) as writer:
        for row in rows:
            writer.add(row)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table as a data frame; BadInput names the file when it is missing or damaged."""
    frame: pd.DataFrame = read_arrow(path, columns).to_pandas()
    return frame


def read_arrow(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """Read a table, or the rows that pass `filters` (pyarrow's form)."""
    try:
        return pq.read_table(path, columns=list(columns) if columns else None, filters=filters)
    except FileNotFoundError as error:
        raise BadInput(f"no table {path}", "run the stage that writes it: autointerp run STUDY") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} is not a readable Parquet table ({error})", "remove it and run again") from error
