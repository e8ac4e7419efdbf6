"""The committed page on where a score's variance comes from is made again from its table; README says its numbers."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from autointerp.between_runs.factor_results import read_results
from autointerp.between_runs.putting_together import draw_by_factor, write_page_by_factor
from tests.report.test_reference import HALF_A_POINT, marks

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "variance"
DRAWS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the committed folder."""
    return shutil.copytree(PUBLISHED, tmp_path / "variance")


def test_the_page_is_made_again_to_the_byte(folder: Path) -> None:
    page = folder / "variance.md"
    page.unlink()
    assert write_page_by_factor(folder) == page
    assert page.read_bytes() == (PUBLISHED / "variance.md").read_bytes()


def test_the_figure_is_made_again(folder: Path) -> None:
    (svg,) = (path for path in draw_by_factor(folder) if path.suffix == ".svg")
    before, after = marks(PUBLISHED / "figures" / svg.name), marks(svg)
    assert len(before) == len(after) > 100
    for (tag, looks, words, places), new in zip(before, after, strict=True):
        assert new[:3] == (tag, looks, words)
        assert new[3] == pytest.approx(places, rel=0, abs=HALF_A_POINT)


def test_it_is_of_five_draws_of_each_factor() -> None:
    runs = read_results(PUBLISHED).put_together.runs
    assert [run.replicates for run in runs] == [DRAWS] * 6
    assert {run.factor for run in runs} == {"corpus", "sae", "units", "evidence", "explain", "simulate"}


def test_the_readme_has_the_pages_shares() -> None:
    """Of features and neurons by the simulator: every cell of its table stands in the page's two tables."""
    page, readme = (PUBLISHED / "variance.md").read_text("utf8"), (ROOT / "README.md").read_text("utf8")
    shares = page[page.index("## Shares of the variance") : page.index("## SAE features minus neurons")]
    of_arm = [
        dict(re.findall(r"^\| ([^|]+) \| (\d+% [^|]+) \|", part, re.MULTILINE)) for part in shares.split("Neurons:")
    ]
    told = re.findall(r"^\| ([^|]+) \| (\d+% \[[^|]+\]) \| (\d+% \[[^|]+\]) \|$", readme, re.MULTILINE)
    assert len(told) == len(of_arm[0]) == 6
    (moved, by_chance) = re.search(
        r"standard deviation (\S+ \[.*?\]); the units of a draw give (\S+) by", readme
    ).groups()  # type: ignore[union-attr]
    assert f"of all but the units together {moved}. The choice of units gives {by_chance} in one draw" in page
    for name, features, neurons in told:
        assert (features, neurons) == (of_arm[0][name], of_arm[1][name])
