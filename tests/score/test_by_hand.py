"""Every score of the run that was worked out by hand: see `tests/hand_run.py` for the arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.tables import read_arrow
from tests.hand_run import FEATURES, NEURONS, hand_run

Score = tuple[float | None, str]
LOST: Score = (None, "the request timed out")
ONES: list[Score] = [(1.0, "")] * 5
HALVES: list[Score] = [(0.5, "")] * 5
QUARTERS: list[Score] = [(0.75, "")] * 5
EXPECTED: dict[tuple[str, ...], list[Score]] = {
    # own explanation: k of 4 hit is a Pearson correlation of k/2 - 1 and an AUROC of k/4
    ("lift", "own", "pearson", "top-and-random"): [(1.0, ""), (0.0, ""), (0.0, ""), (0.0, ""), LOST, *HALVES],
    ("lift", "own", "auroc", "top-and-random"): [(1.0, ""), (0.5, ""), (0.5, ""), (0.5, ""), LOST, *QUARTERS],
    ("lift", "own", "pearson", "random-only"): [(0.0, ""), (-1.0, ""), (-1.0, ""), (-1.0, ""), LOST, *ONES],
    ("lift", "own", "auroc", "random-only"): [(0.5, ""), (0.0, ""), (0.0, ""), (0.0, ""), LOST, *ONES],
    # another unit's: means over two derangements, (0.25 + 0.75) / 2 and so on; of feature/3 one was scored
    ("lift", "shuffled", "pearson", "top-and-random"): [
        LOST, (0.5, ""), (0.0, ""), (1.0, ""), (0.5, ""), (-0.5, ""), (0.0, ""), (0.0, ""), (0.0, ""), (0.5, ""),
    ],
    ("lift", "shuffled", "auroc", "top-and-random"): [
        LOST, (0.75, ""), (0.5, ""), (1.0, ""), (0.75, ""), (0.25, ""), (0.5, ""), (0.5, ""), (0.5, ""), (0.75, ""),
    ],
    ("lift", "shuffled", "pearson", "random-only"): [
        LOST, (0.25, ""), (0.0, ""), (0.5, ""), (0.25, ""), (-0.25, ""), (0.0, ""), (0.0, ""), (0.0, ""), (0.25, ""),
    ],
    ("lift", "shuffled", "auroc", "random-only"): [
        LOST, (0.625, ""), (0.5, ""), (0.75, ""), (0.625, ""),
        (0.375, ""), (0.5, ""), (0.5, ""), (0.5, ""), (0.625, ""),
    ],
    ("lookup", "own", "pearson", "top-and-random"): [*HALVES, *ONES],
    ("lookup", "own", "auroc", "top-and-random"): [*QUARTERS, *ONES],
    ("lookup", "own", "pearson", "random-only"): [*ONES, *HALVES],
    ("lookup", "own", "auroc", "random-only"): [*ONES, *QUARTERS],
}  # fmt: skip
"""Value and reason of the ten units, by scorer, pairing, metric and slice."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand_run(tmp_path_factory.mktemp("run"))


def test_every_score_is_the_one_worked_out_by_hand(run: Path) -> None:
    found: dict[tuple[str, ...], dict[str, Score]] = {}
    for row in read_arrow(run / "scores.parquet").to_pylist():
        cell = found.setdefault((row["scorer"], row["pairing"], row["metric"], row["slice"]), {})
        assert row["unit"] not in cell
        cell[row["unit"]] = row["value"], row["reason"]
        assert row["chance"] == {"pearson": 0.0, "auroc": 0.5}[row["metric"]]
        assert (row["n_contexts"], row["n_tokens"]) == (2, 8)
        assert row["status"] == ("unscored" if row["reason"] else "ok")
    assert set(found) == set(EXPECTED)
    for cell_name, values in EXPECTED.items():
        assert found[cell_name] == dict(zip([*FEATURES, *NEURONS], values, strict=True)), cell_name
