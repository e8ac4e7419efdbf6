"""Neuronpedia's files: the limits of an upload batch, what ids look like, and JSON lines, packed or not."""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autointerp.artifacts import write_bytes
from autointerp.errors import BadInput
from autointerp.records import Unscored

MOST_FEATURES = 128
"""In an upload batch."""
MOST_TOKENS = 1024
"""Of an activation that is uploaded."""
LONGEST_TEXT = 512
"""Characters of an explanation that is uploaded."""
HIGHEST_INDEX = 10_000_000
NOT_TOP = -1.0
"""`binMin` and `binContains` of a row that is there for its maximum, and not as a draw from an interval."""
SIDECAR = "autointerp.jsonl.gz"
"""Beside a source's folders: what their layout has no place for, a unit per line. Their importer does not read it."""
FROM = "neuronpedia:"
"""How a study calls a model and a text that it only knows from there."""
KINDS_OF_FILE = ("features", "explanations", "activations")

_MODEL = re.compile(r"[a-z][a-z0-9.-]{0,30}[a-z0-9]")
_NOT_A_LINE = Unscored("a line that is no JSON object")


def model_id(name: str, given: str | None) -> str:
    """The model's id over there: `given`, or what is made of our name for it; BadInput where neither is one.

    2 to 32 lowercase letters, digits, dots and hyphens, the first a letter.
    """
    text = given if given is not None else slug(re.split(r"[/\\]", name.rstrip("/\\"))[-1], ".")[:32].rstrip("-.")
    if not _MODEL.fullmatch(text):
        raise BadInput(
            f"'{text}' is no id of a model: 2 to 32 lowercase letters, digits, dots and hyphens, the first a letter",
            "give one with --model",
        )
    return text


def slug(text: str, also: str = "") -> str:
    """Lowercase letters, digits, hyphens and `also`; every run of anything else becomes one hyphen."""
    return re.sub(rf"[^a-z0-9{re.escape(also)}]+", "-", text.lower()).strip("-")


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines, whole or not at all; packed where the name ends in `.gz`. The same records: the same bytes."""
    text = "".join(f"{json.dumps(record, ensure_ascii=False, allow_nan=False)}\n" for record in records)
    data = text.encode()
    write_bytes(path, gzip.compress(data, compresslevel=9, mtime=0) if path.suffix == ".gz" else data)


def files_of(folder: Path, kind: str) -> list[Path]:
    """The files of one of KINDS_OF_FILE, of all sources in a folder, at any depth, by path."""
    return sorted(path for path in folder.rglob(f"{kind}/*") if path.is_file() and _is_lines(path))


def sidecars_of(folder: Path) -> list[Path]:
    """Ours, of all sources in a folder."""
    return sorted(path for path in folder.rglob(SIDECAR) if path.is_file())


def _is_lines(path: Path) -> bool:
    return path.name.endswith((".jsonl", ".jsonl.gz"))


def read_lines(path: Path) -> Iterator[dict[str, Any] | Unscored]:
    """The objects of a file of JSON lines, empty lines aside; a line that holds none is a reason.

    BadInput where the file can't be read to its end.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield _object(line)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} can't be read to its end ({error})", "fetch it again") from error


def _object(line: bytes) -> dict[str, Any] | Unscored:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return _NOT_A_LINE
    return found if isinstance(found, dict) else _NOT_A_LINE


def number_in(value: Any) -> float | None:
    """A finite number that JSON held; None for anything else, NaN and truth values included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def index_in(value: Any) -> int | None:
    """A feature's index, which they write as text; None where it is no whole number from 0 to 10,000,000."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,8}", text):
        return None
    return index if (index := int(text)) <= HIGHEST_INDEX else None
