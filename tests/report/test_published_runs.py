"""Runs of published comparisons: whole as committed, small enough, and their reports still made from their tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autointerp.report.stage import report
from autointerp.run.verify import verify

RESULTS = Path(__file__).parents[2] / "results"
PUBLISHED = ["cunningham", "measures", "towards-monosemanticity"]
MOST = 5_000_000
"""Bytes of a folder."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_is_whole_and_small(name: str) -> None:
    assert [check for check in verify(RESULTS / name) if not check.ok] == []
    assert sum(path.stat().st_size for path in (RESULTS / name).rglob("*") if path.is_file()) < MOST


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_report_of_a_published_run_is_made_again(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(RESULTS / name, tmp_path / name)
    assert report(folder).read_bytes() == (RESULTS / name / "report.md").read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_page_links_to_it(name: str) -> None:
    page = (RESULTS.parent / "docs" / f"{name}.md").read_text("utf8")
    assert f"../results/{name}/report.md" in page
