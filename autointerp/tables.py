"""The run folder's tables: where they lie, one schema each, written atomically, read back as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import AbstractArray

from autointerp.artifacts import atomic_path
from autointerp.errors import BadInput
from autointerp.records import Big
from autointerp.rows import ROWS

TRAIN = "work/train.parquet"
CANDIDATES = "work/candidates.parquet"
EFFECTS = "work/effects.parquet"
EVIDENCE = "work/evidence.parquet"
HELD_OUT = "work/held-out.parquet"
TABLES = "work/token_tables.safetensors"
REVISIONS = "revisions.parquet"
PROPOSALS = "proposals.parquet"
BY_KIND = "by_kind.parquet"
"""Files that one stage of a run leaves for another, by path in the run folder."""


_INT, _REAL = pa.int32(), pa.float64()
_VECTOR = pa.list_(pa.float32())
_PLAIN: Mapping[Any, pa.DataType] = {bool: pa.bool_(), int: _INT, float: _REAL, Big: pa.int64()}


def arrow_type(hint: Any) -> pa.DataType:
    """The type of the column of a row's field: what may be None is of the type that it has otherwise."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is tuple:
        return pa.list_(arrow_type(get_args(hint)[0]))
    if issubclass(hint, str):
        return pa.string()
    if issubclass(hint, AbstractArray):
        return _VECTOR if "float32" in hint.dtypes else pa.list_(_INT)
    raise TypeError(f"no column can hold {hint}")


def schema_of(row: type) -> pa.Schema:
    """The columns of the table whose rows are of this dataclass, in the order of its fields."""
    hints = get_type_hints(row, include_extras=True)
    return pa.schema([(field.name, arrow_type(hints[field.name])) for field in fields(row)])


SCHEMAS: Mapping[str, pa.Schema] = {name: schema_of(row) for name, row in ROWS.items()}
"""Columns of every table. An unknown number is null, never 0."""
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    name: {field.name: field.default for field in fields(row) if field.default is not MISSING}
    for name, row in ROWS.items()
}


def to_table(name: str, rows: Iterable[Any]) -> pa.Table:
    """Make a table of schema `name` out of dataclasses or mappings (arrays become lists)."""
    schema = SCHEMAS[name]
    records = [vars(row) if is_dataclass(row) else dict(row) for row in rows]
    whole = [{**_DEFAULTS[name], **record} for record in records]
    columns = {field.name: pa.array([r[field.name] for r in whole], type=field.type) for field in schema}
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
