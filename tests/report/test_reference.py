"""The committed run is made again from its own tables, each stage from the committed tables of the stage before.

So a stage that computes or prints something else than it did is seen in whatever it writes. The report is compared to
the byte, scores to what the order of a sum may change on another processor (2e-16 on one of the same kind). Intervals
and p-values rest on 10,000 random draws too: another release of numpy or scipy may draw others, so they may move by
what chance moves them. Figures are compared mark by mark, not byte by byte: their words exactly, their places to half
a point, since another release of matplotlib may lay them out a little otherwise.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image
from statsmodels.stats.multitest import multipletests

from autointerp.compare.stage import compare
from autointerp.plot.stage import plot
from autointerp.report.stage import report
from autointerp.score.stage import score
from autointerp.study_file import load_study
from autointerp.tables import read_arrow

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
FIGURES = sorted(path.stem for path in (REFERENCE / "figures").glob("*.svg"))
ENDS = (
    ("low", "high"), ("median_low", "median_high"), ("difference_low", "difference_high"),
    ("median_difference_low", "median_difference_high"),
)  # fmt: skip
DRAWN = {"p", "p_holm", *(name for ends in ENDS for name in ends)}
"""The columns of the comparison that rest on random draws."""
HALF_A_POINT = 0.5
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the committed run, of which a test makes a part again."""
    return shutil.copytree(REFERENCE, tmp_path / "reference")


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_arrow(folder / f"{name}.parquet").to_pylist()
    return found


def near(value: float | None, tolerance: float) -> Any:
    """Equal to what differs by at most so much; an unknown number is only equal to none."""
    return None if value is None else pytest.approx(value, rel=0, abs=tolerance)


def test_the_scores_of_the_committed_run_are_made_again(folder: Path) -> None:
    (folder / "scores.parquet").unlink()
    score(load_study(folder / "study.toml"), folder)
    before, after = rows(REFERENCE, "scores"), rows(folder, "scores")
    # Features and neurons; four controls, and two arms of a scrambled subject;
    # three that read explanations in four pairings, and the token table; metrics; slices.
    assert len(before) == len(after) == (2 * 64 + (4 + 2) * 24) * (3 * 4 + 1) * 2 * 3
    for old, new in zip(before, after, strict=True):
        for name in ("value", "chance"):
            assert new.pop(name) == near(old.pop(name), 1e-13)
        assert new == old


@pytest.mark.slow
def test_the_comparison_of_the_committed_run_is_made_again(folder: Path) -> None:
    """By one of its metrics: half of the time, and the other takes the same way."""
    study, metric = load_study(folder / "study.toml"), "pearson"
    (folder / "comparison.parquet").unlink()
    scores = read_arrow(folder / "scores.parquet")
    pq.write_table(scores.filter(pc.field("metric") == metric), folder / "scores.parquet")
    compare(study, folder)
    before = [row for row in rows(REFERENCE, "comparison") if row["metric"] == metric]
    after = rows(folder, "comparison")
    assert len(before) == len(after) > 200
    draws = study.compare.resamples
    for old, new in zip(before, after, strict=True):
        assert {name: value for name, value in new.items() if name not in DRAWN} == {
            name: near(value, 1e-12) if isinstance(value, float) else value
            for name, value in old.items()
            if name not in DRAWN
        }
        for names in ENDS:
            low, high = (old[name] for name in names)
            # An end of 10,000 draws has a standard error of 0.7% of the width; few units give few different means.
            few = min(old["n"], old["n_baseline"] or old["n"]) < 10
            tolerance = 0.0 if low is None else (high - low) * (0.1 if few else 0.04) + 1e-9
            assert [new[name] for name in names] == [near(low, tolerance), near(high, tolerance)]
        assert (new["p"] is None) == (old["p"] is None)
        if old["p"] is not None:
            error = (old["p"] * (1 - old["p"]) / draws) ** 0.5
            assert new["p"] == near(old["p"], 6 * error + 1e-4)
    tested = [row for row in after if row["p"] is not None]
    family = [row for row in tested if row["family"] == "secondary" and row["scorer"] == "reader"]
    expected = multipletests([row["p"] for row in family], method="holm")[1]
    assert [row["p_holm"] for row in family] == pytest.approx(list(expected))


def test_the_report_of_the_committed_run_is_made_again_to_the_byte(folder: Path) -> None:
    (folder / "report.md").unlink()
    assert report(folder).read_bytes() == (REFERENCE / "report.md").read_bytes()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(REFERENCE, tmp_path_factory.mktemp("run") / "reference")
    shutil.rmtree(folder / "figures")
    plot(folder)
    return folder / "figures"


def marks(path: Path) -> list[tuple[str, dict[str, str], str, list[float]]]:
    """Every element of an SVG in its order: tag, looks, words, and all numbers that say where it is.

    Names of clip paths and markers are left out: they are made from what they name.
    """
    found = []
    for element in ElementTree.parse(path).iter():
        tag = element.tag.rpartition("}")[2]
        looks = {name: element.get(name, "") for name in ("style", "fill", "stroke")}
        places = " ".join(element.get(name, "") for name in ("d", "x", "y", "width", "height", "transform", "points"))
        words = (element.text or "").strip() if tag == "text" else ""
        found.append((tag, looks, words, [float(n) for n in NUMBER.findall(places)]))
    return found


def test_there_are_as_many_figures_as_before(drawn: Path) -> None:
    """Of the last four the pictures alone are committed, for their size."""
    assert FIGURES == [
        "distribution",
        "equal-determinism",
        "forest",
        "measures",
        "replicates",
        "strips-feature",
        "strips-neuron",
    ]
    later = ["against-evidence", "coverage", "own-shuffled", "reliability"]
    assert sorted({path.stem for path in drawn.iterdir()}) == sorted([*FIGURES, *later])
    assert sorted(path.stem for path in (REFERENCE / "figures").glob("*.png")) == sorted([*FIGURES, *later])


@pytest.mark.parametrize("name", FIGURES)
def test_the_figures_of_the_committed_run_are_made_again(drawn: Path, name: str) -> None:
    before, after = marks(REFERENCE / "figures" / f"{name}.svg"), marks(drawn / f"{name}.svg")
    assert len(before) == len(after) > 100
    for (tag, looks, words, places), new in zip(before, after, strict=True):
        assert new[:3] == (tag, looks, words)
        assert new[3] == pytest.approx(places, rel=0, abs=HALF_A_POINT)
    pictures = []
    for folder in (REFERENCE / "figures", drawn):
        with Image.open(folder / f"{name}.png") as image:
            pictures.append(np.asarray(image.convert("RGB"), dtype=np.float64))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5  # of 255: the picture is of the same figure
