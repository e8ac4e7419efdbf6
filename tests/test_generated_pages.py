"""The pages of docs/ that are made from the code are what the code makes now."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["study.md", "tables.md"])
def test_the_page_is_current(generate: ModuleType, name: str) -> None:
    made: str = generate.PAGES[name]()
    assert (DOCS / name).read_text("utf8") == made, "run `make docs`"


def test_a_column_or_key_without_a_meaning_stops_the_pages(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Row:
        """A row."""

        unheard_of: int

    monkeypatch.setitem(generate.ROWS, "documents", Row)
    with pytest.raises(SystemExit, match="column 'unheard_of' has no docstring"):
        generate.tables_page()
    with pytest.raises(SystemExit, match=r"study key score\.unheard_of has no docstring"):
        list(generate._keys({"unheard_of": {"type": "integer"}}, {}, "score"))


def test_every_key_and_column_is_there(generate: ModuleType) -> None:
    study, tables = generate.study_page(), generate.tables_page()
    for key in ("[[sae]]", "[llm.NAME]", "### subject.train", "| `derangements` | integer, at least 1 | `16` |"):
        assert key in study
    for name in ("documents", "comparison", "usage", "benchmark_scores"):
        assert f"\n## {name}\n" in tables
    assert "| `p_holm` | double | Adjusted over the p of the row's family; None outside any. |" in tables
