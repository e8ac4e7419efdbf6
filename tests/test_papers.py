"""The papers around the code: what they say of the code, and of each other, holds."""

from __future__ import annotations

import re
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import autointerp

ROOT = Path(__file__).parents[1]
TARGETS = ["help", "demo", "test", "unit", "lint", "clean"]


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
    bare, asked = (
        subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for words in ([], ["help"])
    )
    assert bare == asked
    assert [line.split()[1] for line in bare.splitlines()] == TARGETS
    assert all(len(line.split()) > 3 and not line.endswith(".") for line in bare.splitlines())
