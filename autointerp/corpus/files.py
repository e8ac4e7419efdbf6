"""Documents of files and of the hub, as a stream: text, JSONL and Parquet, a folder of them, a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from autointerp.artifacts import rng_of
from autointerp.corpus.document import BLOCK_CHARACTERS, Document, blocks
from autointerp.errors import BadInput, nearest
from autointerp.quoting import well_formed
from autointerp.study_inputs import Corpus


def document_of(row: Mapping[str, Any], place: str, corpus: Corpus) -> Document | None:
    """The document of a row found at `place`, which is also its source when the study names no field for that.

    None when the row's text is null. Raises BadInput when a field is missing or the text is no text.
    """
    text = _field(row, corpus.text_field, "text_field", place)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadInput(
            f"{place}: '{corpus.text_field}' holds {type(text).__name__}, not text",
            "set corpus.text_field to the field that holds the text",
        )
    source = place
    if corpus.source_field is not None:
        source = str(_field(row, corpus.source_field, "source_field", place))
    return Document(source, well_formed(text))


def _field(row: Mapping[str, Any], name: str, key: str, place: str) -> Any:
    if name not in row:
        raise BadInput(f"{place} has no field '{name}'", f"set corpus.{key}: {nearest(name, row)}")
    return row[name]


_TEXT = (".txt", ".md")
SUFFIXES = (*_TEXT, ".jsonl", ".parquet")
"""Files that can be read."""
_LINE_CHARACTERS = 16_384
_BATCH_ROWS = 256
_PARTS, _MOST_BLOCKS_PER_PART = 24, 8


def file_documents(path: Path, corpus: Corpus, seed: int) -> Iterator[Document]:
    """Documents of a file, or of every readable file in a folder, in a seeded order of the files.

    Sources: a text file is one, its documents are blocks of about 2000 characters; a single text file can't be split
    by file, so there its sources are `file#part-k`, sections of a few consecutive documents; a row of JSONL or Parquet
    is its own source unless `corpus.source_field` names one. Raises BadInput for what can't be read.
    """
    files = _files(path)
    root = path if path.is_dir() else path.parent
    for number in rng_of(seed, "order of the files").permutation(len(files)):
        file = files[number]
        name = file.relative_to(root).as_posix()
        with _readable(file):
            if file.suffix.lower() in _TEXT:
                yield from _text(file, name, in_parts=len(files) == 1)
            elif file.suffix.lower() == ".jsonl":
                with file.open("rb") as lines:
                    yield from _json_documents(lines, name, corpus)
            else:
                yield from _parquet(file, name, corpus)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise BadInput(f"can't read {path} as a corpus", f"give a file that ends in {', '.join(SUFFIXES)}")
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise BadInput(f"folder {path} holds no corpus file", f"put files in it that end in {', '.join(SUFFIXES)}")
    return found


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start})", "convert it to UTF-8") from error
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"can't read {file} ({error})", "check that the file is whole and may be read") from error


def _text(file: Path, name: str, in_parts: bool) -> Iterator[Document]:
    per_part = min(max(file.stat().st_size // (BLOCK_CHARACTERS * _PARTS), 1), _MOST_BLOCKS_PER_PART)
    with file.open(encoding="utf-8-sig") as lines:
        bounded = iter(lambda: lines.readline(_LINE_CHARACTERS), "")
        for number, block in enumerate(blocks(bounded)):
            yield Document(f"{name}#part-{number // per_part}" if in_parts else name, block)


def _json_documents(lines: BinaryIO, name: str, corpus: Corpus) -> Iterator[Document]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{name} line {number} is not JSON ({error})", "write one object per line") from error
        if not isinstance(row, dict):
            raise BadInput(f"{name} line {number} is a {type(row).__name__}", "write one object per line")
        document = document_of(row, f"{name}#{number}", corpus)
        if document is not None:
            yield document


def _parquet(file: Path, name: str, corpus: Corpus) -> Iterator[Document]:
    with pq.ParquetFile(file) as table:
        columns = {"text_field": corpus.text_field}
        if corpus.source_field is not None:
            columns["source_field"] = corpus.source_field
        for key, column in columns.items():
            if column not in table.schema_arrow.names:
                raise BadInput(
                    f"{name} has no column '{column}'", f"set corpus.{key}: {nearest(column, table.schema_arrow.names)}"
                )
        number = 0
        for batch in table.iter_batches(_BATCH_ROWS, columns=list(columns.values())):
            for row in batch.to_pylist():
                number += 1
                document = document_of(row, f"{name}#{number}", corpus)
                if document is not None:
                    yield document


def hub_documents(corpus: Corpus) -> Iterator[Document]:
    """Documents of data set `corpus.source`; a row is its own source unless `corpus.source_field` names one.

    Raises BadInput when the package `datasets` is missing or the data set can't be had.
    """
    try:
        import datasets
    except ImportError as error:
        raise BadInput(
            f"hub data set '{corpus.source}' needs the package datasets", "pip install 'autointerp[hub]'"
        ) from error
    try:
        rows = datasets.load_dataset(corpus.source, name=corpus.config, split=corpus.hub_split, streaming=True)
        for number, row in enumerate(rows, start=1):
            document = document_of(row, f"{corpus.source}#{number}", corpus)
            if document is not None:
                yield document
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BadInput(
            f"can't read hub data set '{corpus.source}' ({reason})",
            "check its name, corpus.config, corpus.hub_split and the network, or give a local file",
        ) from error
