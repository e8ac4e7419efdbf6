"""Which orientation a signed unit is left in: that of its best candidate, or of its larger peak when none is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.explain.proposing import Material, Planned
from autointerp.explain.stage import write_choice
from autointerp.records import Candidate, Status, Unit, Unscored
from autointerp.tables import read_arrow

FLAT = Unscored("constant prediction")


def unit(name: str, peak: float, status: Status = Status.OK) -> Unit:
    sign = -1 if name.endswith("-") else 1
    return Unit(name, 0, "neuron", "h", "", 1, sign, 0.0, 0.1, peak, 0.5, status, "" if status == Status.OK else "dead")


def candidate(text: str) -> Candidate:
    return Candidate(text, "exemplars")


def chosen(
    folder: Path,
    group: list[Unit],
    candidates: list[list[Candidate | Unscored]],
    scores: list[list[float | Unscored]],
    others: tuple[Unit, ...] = (),
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `units` and of `explanations`."""
    plan = Planned([*group, *others], [group], group, Material({}, {}, {}, {}), {}, {}, [])
    write_choice(folder, plan, candidates, scores)
    units: list[dict[str, Any]] = read_arrow(folder / "units.parquet").to_pylist()
    explanations: list[dict[str, Any]] = read_arrow(folder / "explanations.parquet").to_pylist()
    return units, explanations


@pytest.mark.parametrize(("up", "down", "left"), [(3.0, 2.0, "neuron/1+"), (2.0, 3.0, "neuron/1-")])
@pytest.mark.parametrize("first", ["+", "-"])
def test_without_a_scored_candidate_it_is_the_orientation_with_the_larger_peak(
    tmp_path: Path, up: float, down: float, left: str, first: str
) -> None:
    group = [unit("neuron/1+", up), unit("neuron/1-", down)]
    if first == "-":
        group.reverse()
    units, explanations = chosen(tmp_path, group, [[candidate("a")], [candidate("b")]], [[FLAT], [FLAT]])
    assert [row["unit"] for row in units] == [row["unit"] for row in explanations] == [left]
    assert [row["max_activation"] for row in units] == [3.0]
    assert [row["sign"] for row in units] == [1 if left.endswith("+") else -1]
    assert explanations[0]["status"] == "unscored"
    assert explanations[0]["reason"] == "no candidate could be ranked: constant prediction"
    assert explanations[0]["candidates"] == 2


def test_without_any_candidate_it_is_the_orientation_with_the_larger_peak_too(tmp_path: Path) -> None:
    units, explanations = chosen(tmp_path, [unit("neuron/1+", 1.0), unit("neuron/1-", 4.0)], [[], []], [[], []])
    assert [row["unit"] for row in units] == [row["unit"] for row in explanations] == ["neuron/1-"]
    assert explanations[0]["reason"] == "no candidate was proposed"


@pytest.mark.parametrize(("scores", "left"), [((0.3, 0.2), "neuron/1+"), ((0.2, 0.3), "neuron/1-")])
def test_with_one_it_is_that_of_the_best_candidate_whatever_the_peaks(
    tmp_path: Path, scores: tuple[float, float], left: str
) -> None:
    for number, (up, down) in enumerate(((1.0, 9.0), (9.0, 1.0))):
        folder = tmp_path / str(number)
        folder.mkdir()
        group = [unit("neuron/1+", up), unit("neuron/1-", down)]
        units, explanations = chosen(
            folder, group, [[candidate("for +"), FLAT], [candidate("for -")]], [[scores[0], FLAT], [scores[1]]]
        )
        assert [row["unit"] for row in units] == [row["unit"] for row in explanations] == [left]
        assert explanations[0]["text"] == f"for {left[-1]}"
        assert explanations[0]["evidence_score"] == max(scores)
        assert explanations[0]["candidates"] == 2  # the failed one is none


def test_excluded_units_stay_in_the_table_and_get_no_explanation(tmp_path: Path) -> None:
    dead = unit("neuron/7+", 0.0, Status.EXCLUDED)
    units, explanations = chosen(tmp_path, [unit("neuron/1+", 1.0)], [[candidate("a")]], [[0.5]], (dead,))
    assert [(row["unit"], row["status"]) for row in units] == [("neuron/1+", "ok"), ("neuron/7+", "excluded")]
    assert [row["unit"] for row in explanations] == ["neuron/1+"]
