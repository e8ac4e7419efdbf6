"""The papers around the code: what they say of the code, and of each other, holds."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import autointerp

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/README.md", "examples/*/README.md")
    for path in ROOT.glob(pattern)
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf8")
TARGETS = ["help", "demo", "test", "unit", "lint", "slow", "docs", "clean"]


def _yaml(name: str) -> Any:
    yaml: Any = import_module("yaml")  # comes with transformers; it has no types
    return yaml.safe_load((ROOT / name).read_text("utf8"))


def _lint_commands() -> list[str]:
    """What `make lint` runs, without the environment's folder."""
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf8"), flags=re.M)
    assert recipe is not None
    return [line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()]


def test_the_hooks_before_a_commit_are_those_of_make_lint_and_need_no_network() -> None:
    (local,) = _yaml(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == _lint_commands()
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False


def test_the_citation_is_of_this_version_and_licence() -> None:
    citation = _yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == autointerp.__version__
    assert citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf8")
    assert [author["name"] for author in citation["authors"]] == ["The autointerp founders"]


def test_bare_make_lists_every_target() -> None:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` runs this

    def said(*words: str) -> str:
        command = ["make", "--no-print-directory", *words]
        return subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout

    bare, asked = said(), said("help")
    assert bare == asked
    assert [line.split()[1] for line in bare.splitlines()] == TARGETS
    assert all(len(line.split()) > 3 and not line.endswith(".") for line in bare.splitlines())


def _prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf8"), flags=re.S | re.M)


def _anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link to them."""
    found: set[str] = set()
    seen = Counter[str]()
    for heading in re.findall(r"^#+ (.+)$", _prose(page), flags=re.M):
        name = (
            re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).strip().replace(" ", "-")
        )
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_git_holds_every_file_that_a_page_or_a_test_of_results_leads_to() -> None:
    """A link that leads to a file which git ignores leads nowhere in a clean checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    held = set(
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split(
            "\0"
        )
    )
    folders = {parent.as_posix() for name in held for parent in Path(name).parents}
    led = set[str]()
    for name in PAGES:
        page = ROOT / name
        for link in re.findall(r"\]\(([^)\s#]+)", _prose(page)):
            if not re.match(r"[a-z]+:", link):
                led.add((page.parent / link).resolve().relative_to(ROOT).as_posix())
    assert led <= held | folders
    kept = re.findall(r"^!(results/[\w-]+)/$", (ROOT / ".gitignore").read_text("utf8"), flags=re.M)
    assert kept
    assert set(kept) <= folders


def test_the_readme_is_short_and_its_first_screen_has_the_question_the_picture_and_the_commands() -> None:
    lines = (ROOT / "README.md").read_text("utf8").splitlines()
    assert len(lines) < 200
    first = "\n".join(lines[:25])
    for shown in ("How interpretable are", "figures/distribution.png", "make demo", "make test"):
        assert shown in first


def test_the_architecture_has_a_line_for_every_folder() -> None:
    named = set(re.findall(r"`([\w/]+)/`", ARCHITECTURE))
    for package in ("autointerp", "sae"):
        folders = {path.parent.relative_to(ROOT / package).as_posix() for path in (ROOT / package).rglob("__init__.py")}
        assert folders - {"."} <= named, package


def test_the_architecture_tells_the_order_of_imports_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (told,) = re.findall(r"```text\n(.*?)```", ARCHITECTURE, flags=re.S)
    assert [" ".join(line.split()) for line in told.split(">")] == layers


def test_the_architecture_has_seven_recipes() -> None:
    kinds = ["simulator", "judge", "explainer", "unit kind", "provider", "figure", "column"]
    assert re.findall(r"I want to add an? (.+)", ARCHITECTURE) == kinds


def _file(name: str) -> Path:
    """A file by the name that the architecture gives it: from the root, or inside the package."""
    return next((place / name for place in (ROOT, ROOT / "autointerp") if (place / name).is_file()), ROOT / name)


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = {name for name in re.findall(r"`([\w/]+/\w+\.py)`", ARCHITECTURE) if "NAME" not in name}
    assert len(named) > 30
    assert sorted(name for name in named if not _file(name).is_file()) == []


def test_what_the_architecture_says_is_in_a_file_is_in_it() -> None:
    pairs = re.findall(r"`(\w+)` (?:in|of) `([\w/]+\.py)`", " ".join(ARCHITECTURE.split()))
    assert len(pairs) > 12
    for what, name in pairs:
        assert re.search(rf"^\s*(class |def )?{what}\b", _file(name).read_text("utf8"), flags=re.M), (what, name)


def test_the_picture_of_the_architecture_stands_alone() -> None:
    path = ROOT / "docs" / "architecture.svg"
    root = ElementTree.parse(path).getroot()
    card = next(element for element in root if element.tag.endswith("rect"))
    assert card.get("fill"), "a background of its own: it is read on dark pages too"
    text = path.read_text("utf8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|href|@import|@font-face|<script|<style", text)
    words = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"corpus", "units", "evidence", "held-out", "explain", "simulate", "judge", "score", "compare"} <= words
