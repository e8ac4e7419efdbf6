"""Documents of files and of the hub, as a stream: text, rows of tables, a folder of them, a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from autointerp.artifacts import rng_of
from autointerp.corpus.document import BLOCK_CHARACTERS, Document, blocks
from autointerp.corpus.row_files import SUFFIXES as OF_ROWS
from autointerp.corpus.row_files import rows_of, suffix_of
from autointerp.errors import BadInput, nearest
from autointerp.progress import say
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
    source = None if corpus.source_field is None else _field(row, corpus.source_field, "source_field", place)
    return Document(place if source in (None, "") else str(source), well_formed(text))


def _field(row: Mapping[str, Any], name: str, key: str, place: str) -> Any:
    """A field of a row; of one inside another, such as `data.text`, the path of names. None where it is null."""
    outer, dot, inner = name.partition(".")
    if name not in row and dot and outer in row:
        inside = row[outer]
        if inside is None:
            return None
        if isinstance(inside, Mapping):
            return _field(inside, inner, key, f"{place}: '{outer}'")
    if name not in row:
        raise BadInput(f"{place} has no field '{name}'", f"set corpus.{key}: {nearest(name, row)}")
    return row[name]


_TEXT = (".txt", ".md")
SUFFIXES = (*_TEXT, *OF_ROWS)
"""How the names of files end that can be read."""
_ABOUT = frozenset({"readme", "license", "licence", "copying", "notice", "changelog", "citation", "contributing"})
"""Names of files that are about a folder's data, and none of it."""
_OF_DATASETS = ("dataset_dict.json", "state.json")
"""What the package `datasets` saves beside its Arrow files: for several splits, and for one."""
_SHOWN = 5
_LINE_CHARACTERS = 16_384
_PARTS, _MOST_BLOCKS_PER_PART = 24, 8


def file_documents(path: Path, corpus: Corpus, seed: int) -> Iterator[Document]:
    """Documents of a file, or of every readable file in a folder, in a seeded order of the files.

    Sources: a text file is one, its documents are blocks of about 2000 characters; a single text file can't be split
    by file, so there its sources are `file#part-k`, sections of a few consecutive documents; a row of a table or of
    JSON is its own source unless `corpus.source_field` names one, and says something in that row. What a folder holds
    beside is named. Raises BadInput for what can't be read.
    """
    files = _files(path, corpus)
    root = path if path.is_dir() else path.parent
    fields = {"text_field": corpus.text_field}
    if corpus.source_field is not None:
        fields["source_field"] = corpus.source_field
    for number in rng_of(seed, "order of the files").permutation(len(files)):
        file = files[number]
        name = file.relative_to(root).as_posix()
        with _readable(file):
            if suffix_of(file) in _TEXT:
                yield from _text(file, name, in_parts=len(files) == 1)
                continue
            for place, row in enumerate(rows_of(file, name, fields), start=1):
                document = document_of(row, f"{name}#{place}", corpus) if row else None
                if document is not None:
                    yield document


def _files(path: Path, corpus: Corpus) -> list[Path]:
    if path.is_file():
        if suffix_of(path) not in SUFFIXES:
            raise BadInput(f"can't read {path} as a corpus", f"give a file that ends in {', '.join(SUFFIXES)}")
        return [path]
    if (saved := _saved(path, corpus.hub_split)) is not None:
        return saved
    held = sorted(p for p in path.rglob("*") if p.is_file())
    found = [p for p in held if suffix_of(p) in SUFFIXES and p.name.partition(".")[0].lower() not in _ABOUT]
    if not found:
        raise BadInput(f"folder {path} holds no corpus file", f"put files in it that end in {', '.join(SUFFIXES)}")
    if left := [p.relative_to(path).as_posix() for p in held if p not in set(found)]:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        say(f"  corpus: {len(found)} files of {path}; not taken for text: {', '.join(left[:_SHOWN])}{more}")
    return found


def _saved(folder: Path, split: str) -> list[Path] | None:
    """The files of a data set that `datasets` saved (`save_to_disk`), of one split where it has several; else None."""
    several, one = (folder / name for name in _OF_DATASETS)
    try:
        if several.is_file():
            splits = json.loads(several.read_text("utf8"))["splits"]
            if split not in splits:
                raise BadInput(f"{folder} has no split '{split}'", f"set corpus.hub_split: {nearest(split, splits)}")
            return _saved(folder / split, split)
        if one.is_file():
            return [folder / file["filename"] for file in json.loads(one.read_text("utf8"))["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder} is no whole data set of the package datasets", "save it again") from error
    return None


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
        raise BadInput(f"can't read hub data set '{corpus.source}' ({reason})", _there(corpus)) from error


def _there(corpus: Corpus) -> str:
    """What to do about a data set that does not come: which configurations and splits it has, where it tells them."""
    import datasets

    try:
        configs = datasets.get_dataset_config_names(corpus.source)
        if (corpus.config or configs[0]) not in configs or (corpus.config is None and len(configs) > 1):
            return f"set corpus.config to one of {', '.join(map(str, configs[:20]))}"
        splits = datasets.get_dataset_split_names(corpus.source, corpus.config or configs[0])
        if corpus.hub_split not in splits:
            return f"set corpus.hub_split to one of {', '.join(map(str, splits))}"
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, IndexError):
        pass  # what was wrong first is told; this only knows no better advice
    return "check its name, corpus.config, corpus.hub_split and the network, or give a local file"
