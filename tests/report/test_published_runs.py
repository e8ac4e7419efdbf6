"""Runs of published comparisons: whole as committed, small enough, and their reports still made from their tables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from autointerp.report.stage import report
from autointerp.run.verify import verify
from autointerp.tables import read_table

RESULTS = Path(__file__).parents[2] / "results"
PUBLISHED = ["cunningham", "measures", "towards-monosemanticity"]
MOST = 5_000_000
"""Bytes of a folder."""
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")
_MEASURED = ["", "_scrambled", "_difference", "_low", "_high", "_p_holm"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_run_is_whole_and_small(name: str) -> None:
    assert [check for check in verify(RESULTS / name) if not check.ok] == []
    assert sum(path.stat().st_size for path in (RESULTS / name).rglob("*") if path.is_file()) < MOST


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_report_of_a_published_run_is_made_again(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(RESULTS / name, tmp_path / name)
    assert report(folder).read_bytes() == (RESULTS / name / "report.md").read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_page_links_to_it_and_has_its_intervals(name: str) -> None:
    page = (RESULTS.parent / "docs" / f"{name}.md").read_text("utf8")
    assert f"../results/{name}/report.md" in page
    intervals = re.findall(r"\u2212?\d+\.\d\d \[[^\]]+\]", page)
    made = (RESULTS / name / "report.md").read_text("utf8")
    assert len(intervals) > 20
    assert [interval for interval in intervals if interval not in made] == []


def test_every_line_of_the_page_on_measures_is_one_of_the_run() -> None:
    table = read_table(RESULTS / "measures" / "measures.parquet")
    page = (RESULTS.parent / "docs" / "measures.md").read_text("utf8").replace("\u2212", "-").replace("*", "")
    lines = [line.split(" | ", 1)[1] for line in page.splitlines() if re.search(r"\| -?\d.*\[.*\|$", line)]
    assert len(lines) == 14
    made = [
        [
            float(row[name])
            for name in [*(f"features{part}" for part in _MEASURED), "difference", "low", "high", "p_holm"]
        ]
        for row in table.to_dict("records")
    ]
    for line in lines:
        printed = _NUMBERS.findall(line)
        assert any(all(map(_rounds_to, numbers, printed)) for numbers in made), line


def _rounds_to(number: float, printed: str) -> bool:
    return abs(number - float(printed)) <= 0.5001 * 10.0 ** -len(printed.partition(".")[2])
