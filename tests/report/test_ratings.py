"""The report of blind ratings: arms beside decoys, people apart from models, and what is not counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autointerp.compare.outcome import read_outcome
from autointerp.plot.stage import plot
from autointerp.rate.drawing import PageChoice
from autointerp.rate.handing_out import Sheet, hand_out
from autointerp.rate.received import rating
from autointerp.rate.taking import read_ratings, take, write_ratings
from autointerp.rating_rows import MODEL
from autointerp.report.ratings import section
from autointerp.report.stage import report
from autointerp.tables import read_table, write_table
from tests.fake_run import Plan, finished
from tests.rate.doubles import Item, played, save

PLAN = Plan({"feature": 0.9, "neuron": 0.5, "direction": 0.1}, units=10, evidence_top=8, contexts=120)


def _quality(item: Item) -> float:
    if item["unit"] != item["explanation_of"]:
        return 0.25
    return {"feature": 0.8, "neuron": 0.5, "direction": 0.3}[item["arm"]]


@pytest.fixture
def rated(tmp_path: Path) -> tuple[Path, Sheet]:
    run = finished(tmp_path / "run", PLAN)
    sheet = hand_out(run, PageChoice(units=10)).sheet
    take(run, [save(tmp_path, played(sheet, name, _quality, severity)) for name, severity in (("a", 0.0), ("b", 0.1))])
    return run, sheet


def _row(text: str, first: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_run_that_nobody_rated_says_nothing(tmp_path: Path) -> None:
    assert section(read_outcome(finished(tmp_path / "run", PLAN))) == ""


def test_arms_stand_beside_decoys_with_intervals_and_agreement(rated: tuple[Path, Sheet]) -> None:
    run, _ = rated
    text = section(read_outcome(run))
    medians = {name: float(_row(text, name)[1].split()[0]) for name in ("SAE features", "neurons", "*decoys*")}
    assert medians["SAE features"] > medians["neurons"] > medians["*decoys*"]
    assert all(re.search(r"\[.*\]", _row(text, name)[1]) for name in medians)
    above = float(_row(text, "SAE features")[-2].split()[0])
    assert above > 0.9
    superior = _row(text, "SAE features minus neurons")
    assert "[" in superior[1]
    assert 0.5 < float(superior[2].split()[0]) <= 1
    assert float(_row(text, "total")[1].split()[0]) > 0.4
    assert "11 at most" in text, "a run without promoted tokens is rated out of 11"
    assert "people and the score by `lift`" in text


def test_a_model_is_never_put_together_with_people(rated: tuple[Path, Sheet]) -> None:
    run, sheet = rated
    alone = section(read_outcome(run))
    most = {"confidence": 3, "activations": 5, "logits": None, "specificity": 3}
    rows = [
        rating(sheet, item, most, None, rater="a-model", rater_kind=MODEL, session="rubric/v1@0")
        for item in sheet.items
    ]
    write_ratings(run, [*read_ratings(run), *rows])
    text = section(read_outcome(run))
    people = text.split("### By `a-model`")[0]
    assert people.strip() == alone.split("### Ratings beside scores")[0].strip()
    assert _row(text.split("### By `a-model`")[1], "SAE features")[1].startswith("11.00")
    assert "people and `a-model`" in text


def test_what_does_not_count_is_counted(rated: tuple[Path, Sheet], tmp_path: Path) -> None:
    run, _ = rated
    explanations = read_table(run / "explanations.parquet")
    explanations.loc[explanations["unit"] == "feature/3", "text"] = "something else"
    write_table("explanations", run / "explanations.parquet", explanations.to_dict("records"))
    assert "of explanations that the run no longer has" in section(read_outcome(run))


def test_the_report_and_its_figure_hold_them(rated: tuple[Path, Sheet]) -> None:
    run, _ = rated
    assert "ratings.png" in {path.name for path in plot(run)}
    text = report(run).read_text("utf8")
    assert "## Rated blindly" in text
    assert "(figures/ratings.png)" in text
    assert "Not counted" not in text
