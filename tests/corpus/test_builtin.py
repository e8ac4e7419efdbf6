"""The built-in corpus: on this installation, and on small ones made here."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import pytest

from autointerp.corpus import builtin, installed
from autointerp.corpus.document import Document
from tests.corpus.site import Site

MODULE = '''\
"""The module's own docstring."""
import os

def plain(x):
    """Adds one.

    Example:
        Indented.
    """
    return x + 1

class Thing:
    """A thing."""
    def method(self):
        # a comment stays
        return "no docstring here"
    async def other(self): return None
    class Inner:
        def deep(self):
            "One line."
            def inside():
                """Never a document of its own."""
            return inside
'''


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return list(islice(builtin.builtin_documents(0), 400))


def test_documents_are_prose_like_and_of_many_kinds(documents: list[Document]) -> None:
    assert all(len(d.text) >= 150 for d in documents)
    assert all(sum(c.isalpha() for c in d.text) / len(d.text) >= 0.55 for d in documents)
    suffixes = {Path(d.source.partition("#")[0]).suffix for d in documents}
    assert {".py"} < suffixes
    assert any(d.source.endswith("pydoc_data/topics.py") for d in documents)
    assert any(d.source.endswith("/METADATA") for d in documents)
    assert any(d.source.startswith(f"python{sys.version_info[0]}.{sys.version_info[1]}/") for d in documents)
    by_source = [d.source for d in documents]
    assert max(map(by_source.count, set(by_source))) <= 24


def test_sources_are_names_inside_the_installation_and_never_ours(documents: list[Document]) -> None:
    for document in documents:
        assert not Path(document.source).is_absolute()
        assert ".." not in Path(document.source).parts
        assert not document.source.startswith(("autointerp", "sae/", "prompts", "tests"))
        assert str(Path.home()) not in document.source
    assert sum(d.licence != "" for d in documents) > 0.9 * len(documents)


def test_docstrings_and_functions_share_no_text() -> None:
    assert installed.docstrings(MODULE) == [
        "The module's own docstring.", "Adds one.\n\nExample:\n    Indented.", "A thing.", "One line.",
    ]  # fmt: skip
    assert installed.functions(MODULE) == [
        "def plain(x):\n    return x + 1",
        'def method(self):\n    # a comment stays\n    return "no docstring here"',
        "async def other(self): return None",
        'def deep(self):\n    def inside():\n        """Never a document of its own."""\n    return inside',
    ]


@pytest.mark.parametrize("text", ["print 'Python 2'", "def {{ template }}:", "\0", 'x = "\\d"'])
def test_source_that_cannot_be_parsed_gives_nothing(text: str) -> None:
    assert installed.docstrings(text) == installed.functions(text) == installed.long_strings(text, 5) == []


def test_tidying() -> None:
    assert builtin.tidy("a  \n\n\n\n\nb          c\n----------\n") == "a\n\nb    c\n---"
    assert not builtin.worth_reading("short")
    assert not builtin.worth_reading("1 2 3 4 5 6 7 8 " * 20)
    assert builtin.worth_reading("A sentence of words. " * 10)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_which_files_of_which_packages_are_read(site: Site) -> None:
    not_text = ("mod/tests/t.py", "../bin/script.py", "/etc/private.py", "mod/data.bin", "mod/__pycache__/a.pyc")
    left_behind = ("mod/__config__.py", "Good_One-1.0.dist-info/direct_url.json", "Good_One-1.0.dist-info/REQUESTED")
    files = ("mod/sub/b.py", *not_text, *left_behind, "mod/a.py")
    site.install(
        "Good_One", {**dict.fromkeys(files, "x"), "Good_One-1.0.dist-info/direct_url.json": "{}"}, "License: MIT"
    )
    site.install("mine", {"mine.py": "x"}, "License: MIT", editable=True)
    site.install("copyleft", {"left.py": "x"}, "License-Expression: LGPL-3.0-or-later")
    found = installed.text_files("good-one")
    assert [f.source for f in found] == ["Good_One-1.0.dist-info/METADATA", "mod/a.py", "mod/sub/b.py"]
    assert {(f.package, f.licence) for f in found} == {("good-one", "MIT")}
    assert [f.source for f in found if installed.in_metadata(f)] == ["Good_One-1.0.dist-info/METADATA"]
    assert [f.read() for f in installed.by_suffix(found, (".py",))] == ["x", "x"]
    assert [installed.text_files(name) for name in ("mine", "copyleft", "nowhere")] == [[], [], []]


def test_of_the_standard_library_nothing_is_read_that_the_machine_made(site: Site) -> None:
    for file in ("ast.py", "json/tool.py", "test/t.py", "site-packages/p.py", "_sysconfigdata__linux.py",
                 "sitecustomize.py", "config-3.11-x86_64/python-config.py", "config.py"):  # fmt: skip
        site.write(f"python3.11/{file}", "x")
    found = [f.source for f in installed.text_files(installed.PYTHON)]
    assert found == [f"python3.11/{name}.py" for name in ("ast", "config", "json/tool", "topics")]


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes("é".encode("latin-1"))
    (tmp_path / "large.py").write_text("x" * 1_000_001)
    for name in ("latin.py", "large.py", "missing.py"):
        assert installed.InstalledFile(str(tmp_path), name, "p", "").read() is None


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        (("License-Expression: MIT OR Apache-2.0", "License: other"), "MIT OR Apache-2.0"),
        (("License: BSD",), "BSD"),
        (("License: a long", "  text of many lines", "Classifier: License :: OSI Approved :: ISC"), "ISC"),
        (("License: UNKNOWN", "Classifier: License :: A", "Classifier: License :: X :: B"), "A OR B"),
        ((), ""),
    ],
)
def test_the_licence_that_a_package_names(site: Site, fields: tuple[str, ...], licence: str) -> None:
    assert installed.licence_of(site.install("p", {}, *fields)) == licence


def _summaries(folder: str) -> dict[str, str]:
    def article(language: str, number: int) -> dict[str, str]:
        return {"title": "t", "extract": f"Article {number} in {language}: " + "plain words of an article " * 8}

    texts: dict[str, dict[str, object]] = {
        language: {f"{language} {i}": article(language, i) for i in range(20)} for language in ("en-us", "fr-fr")
    }
    texts["en-us"] |= {"no text": {"title": "t"}, "no article": 3, "short": {"extract": "Too short."}}
    return {f"{folder}/data/summaries_{language}.json": json.dumps(text) for language, text in texts.items()}


def test_every_other_document_is_an_article_where_they_are_installed(site: Site) -> None:
    wiki = {**_summaries("wiki"), "wiki/__init__.py": "raise SystemExit"}
    site.install(installed.WIKIPEDIA, wiki, "License: GPL-3.0", version="0.0.7")
    prose = {f"pack/page{i}.md": f"Page {i}. " + "More words of documentation. " * 10 for i in range(30)}
    site.install("pack", prose, "License: MIT")
    site.list()
    documents = list(builtin.builtin_documents(0))
    articles = [d for d in documents if "#" in d.source]
    assert len(articles) == 40
    assert {d.licence for d in articles} == {"CC BY-SA 4.0 (Wikipedia)"}
    assert {d.source for d in articles} >= {"wiki/data/summaries_en-us.json#en-us 3"}
    assert len({d.source for d in articles}) == 40
    assert sum("#" in d.source for d in documents[:20]) == 10
    assert len({d.source.split("#")[0] for d in articles[:20]}) == 2
    assert "wiki" not in {d.source.split("/")[0] for d in documents if "#" not in d.source}


def test_the_same_seed_gives_the_same_documents(site: Site) -> None:
    site.install("pack", {f"pack/page{i}.md": f"Page {i}. " + "Some words. " * 20 for i in range(20)})
    site.list()
    first = list(builtin.builtin_documents(0))
    assert first == list(builtin.builtin_documents(0))
    assert first != list(builtin.builtin_documents(1))
    assert len(first) == 20


def test_packages_take_turns_so_that_a_large_one_does_not_outweigh(site: Site) -> None:
    for package, n in (("large", 50), ("small", 4)):
        files = {f"{package}/page{i}.md": f"{package} {i}. " + "Words of documentation. " * 10 for i in range(n)}
        site.install(package, files)
    site.list()
    packages = [d.source.split("/")[0] for d in islice(builtin.builtin_documents(0), 8)]
    assert packages.count("small") in (3, 4)  # a package's description has its turn too, and is too short here
