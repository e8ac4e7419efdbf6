"""Files whose documents are rows: JSON lines (compressed or not), JSON, CSV, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.errors import BadInput, nearest

Row = Mapping[str, Any]
_LINES = (".jsonl", ".ndjson")
_PACKED = (".gz", ".zst")
_TABLES = (".csv", ".tsv")
_OF_SEPARATOR = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (
    *_LINES, *(f"{lines}{packed}" for lines in _LINES for packed in _PACKED), ".json", *_TABLES, ".parquet", ".arrow",
)  # fmt: skip
"""How their names end."""
_BATCH_ROWS = 256
_LONGEST_CELL = 1 << 27
"""Characters."""


def suffix_of(file: Path) -> str:
    """How its name ends, in lower case: both parts of `.jsonl.gz`."""
    ends = [suffix.lower() for suffix in file.suffixes[-2:]]
    return "".join(ends) if "".join(ends) in SUFFIXES else "".join(ends[-1:])


def rows_of(file: Path, name: str, fields: Mapping[str, str]) -> Iterator[Row]:
    """The rows, one after the other, in the file's order. `fields`: key of the study -> the field that is needed.

    Raises BadInput for what is no such file, UnicodeDecodeError, OSError and pyarrow's errors for what can't be read.
    """
    suffix = suffix_of(file)
    if suffix == ".parquet":
        yield from _parquet(file, name, fields)
    elif suffix == ".arrow":
        yield from _arrow(file)
    elif suffix in _TABLES:
        yield from _table(file, _OF_SEPARATOR[suffix])
    elif suffix == ".json":
        yield from _json(file, name)
    else:
        with io.BufferedReader(pa.input_stream(str(file), compression="detect")) as lines:
            yield from _json_lines(lines, name)


def _json_lines(lines: BinaryIO, name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            yield {}
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{name} line {number} is not JSON ({error})", "write one object per line") from error
        if not isinstance(row, dict):
            raise BadInput(f"{name} line {number} is a {type(row).__name__}", "write one object per line")
        yield row


def _json(file: Path, name: str) -> Iterator[Row]:
    """A list of objects, one that is alone under a key, or JSON lines under another name, were it one line."""
    content = file.read_bytes()
    try:
        found = json.loads(content)
    except ValueError:
        yield from _json_lines(io.BytesIO(content), name)
        return
    lists = [value for value in found.values() if isinstance(value, list)] if isinstance(found, dict) else [found]
    if isinstance(found, dict) and not lists:
        yield found
        return
    if len(lists) != 1 or not all(isinstance(row, dict) for row in lists[0]):
        raise BadInput(f"{name} holds no list of objects", "write [{...}, {...}], or one object per line as .jsonl")
    yield from lists[0]


def _table(file: Path, separator: str) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.DictReader(lines, delimiter=separator)


def _parquet(file: Path, name: str, fields: Mapping[str, str]) -> Iterator[Row]:
    with pq.ParquetFile(file) as table:
        columns = [_column(table.schema_arrow.names, field, key, name) for key, field in fields.items()]
        for batch in table.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(columns))):
            yield from batch.to_pylist()


def _column(columns: Sequence[str], field: str, key: str, name: str) -> str:
    """The column that holds a field: the one so called, or the one in which it is (`data` of `data.text`)."""
    outer = field.partition(".")[0]
    if field not in columns and outer not in columns:
        raise BadInput(f"{name} has no column '{field}'", f"set corpus.{key}: {nearest(field, columns)}")
    return field if field in columns else outer


def _arrow(file: Path) -> Iterator[Row]:
    """As the package `datasets` saves it: a stream."""
    with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as batches:
        for batch in batches:
            for begin in range(0, batch.num_rows, _BATCH_ROWS):
                yield from batch.slice(begin, _BATCH_ROWS).to_pylist()
