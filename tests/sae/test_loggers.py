"""Metrics on disk: every step once, also when training was interrupted; other loggers only when asked."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sae.errors import SaeError
from sae.training.loggers import check_loggers, open_loggers
from sae.training.trainer import TrainState


def state(step: int, steps: int = 10) -> TrainState:
    return TrainState(
        step, steps, 64 * step, lr=0.25, loss=1 / (step + 2), fvu=1 / (step + 3), l0=0.25, dead_share=0.25
    )


def write(path: Path, steps: Sequence[int], resumed_at: int = 0, every: int = 1, names: Sequence[str] = ()) -> None:
    loggers = open_loggers(names, path, resumed_at, every)
    for step in steps:
        loggers.add(state(step))
    loggers.close()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_field_of_every_step_in_full_precision(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.csv"
    write(path, range(1, 11))
    rows = read(path)
    assert list(rows[0]) == [field.name for field in fields(TrainState)]
    assert [int(row["step"]) for row in rows] == list(range(1, 11))
    assert [float(row["loss"]) for row in rows] == [state(step).loss for step in range(1, 11)]
    assert list(path.parent.iterdir()) == [path]


def test_every_third_step_and_the_last(tmp_path: Path) -> None:
    write(tmp_path / "m.csv", range(1, 11), every=3)
    assert [row["step"] for row in read(tmp_path / "m.csv")] == ["3", "6", "9", "10"]


@pytest.mark.parametrize("killed_at", [4, 6, 7])
def test_a_resumed_file_equals_an_uninterrupted_one(tmp_path: Path, killed_at: int) -> None:
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    write(whole, range(1, 11))
    write(broken, range(1, killed_at + 1))
    write(broken, range(5, 11), resumed_at=4)
    assert broken.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_row_that_was_cut_short_is_dropped(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "m.csv"
    write(path, range(1, 5))
    path.write_bytes(path.read_bytes()[:-lost])
    write(path, [5], resumed_at=4)
    assert [row["step"] for row in read(path)] == ["1", "2", "3", "5"]
    assert all(len(row) == len(fields(TrainState)) for row in read(path))


def test_a_new_training_starts_a_new_file_and_rows_are_there_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write(path, range(1, 6))
    loggers = open_loggers((), path, resumed_at=0)
    loggers.add(state(1))
    assert [row["step"] for row in read(path)] == ["1"]
    loggers.close()


def test_what_cant_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.csv"
    with pytest.raises(SaeError, match="logger 'tensorbord' is unknown: valid: tensorboard, wandb"):
        open_loggers(["tensorbord"], path, 0)
    with pytest.raises(SaeError, match="every 0th step"):
        open_loggers((), path, 0, every=0)
    assert not path.exists()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SaeError, match=r"m\.csv holds other columns"):
        open_loggers((), path, 3)
    assert path.read_text() == "a,b\n1,2\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(SaeError, match="can't write in"):
        open_loggers((), tmp_path / "file" / "m.csv", 0)
    for name in ("tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(SaeError, match=f"logger '{name}' needs .*: pip install {name}") as caught:
            open_loggers([name], tmp_path / "other.csv", 0)
        assert "\n" not in str(caught.value)
        with pytest.raises(SaeError, match=f"pip install {name}"):
            check_loggers([name])
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_back_what_was_logged_and_hides_what_was_lost(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path / "m.csv", range(1, 8), names=["tensorboard"])
    write(tmp_path / "m.csv", range(5, 11), resumed_at=4, names=["tensorboard", "tensorboard"])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert "train/steps" not in events.Tags()["scalars"]
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == list(range(1, 11))
    assert [event.value for event in losses] == pytest.approx([state(step).loss for step in range(1, 11)], rel=1e-6)


class FakeRun:
    """What the logger uses of a run of Weights & Biases, and no more."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings, self.logged, self.finished = settings, list[tuple[int, dict[str, int | float]]](), False

    def log(self, data: dict[str, int | float], *, step: int) -> None:
        assert not self.finished
        self.logged.append((step, data))

    def finish(self) -> None:
        self.finished = True


def test_wandb_gets_one_run_per_part_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[FakeRun] = []
    double: Any = ModuleType("wandb")

    def init(*, dir: str, group: str, name: str, reinit: str) -> FakeRun:
        assert reinit == "create_new"
        runs.append(FakeRun({"dir": dir, "group": group, "name": name}))
        return runs[-1]

    double.init = init
    monkeypatch.setitem(sys.modules, "wandb", double)
    path = tmp_path / "my-sae" / "m.csv"
    write(path, range(1, 6), names=["wandb"])
    write(path, range(5, 11), resumed_at=4, names=["wandb"], every=2)
    first, second = runs
    assert first.finished
    assert second.finished
    assert first.settings["group"] == second.settings["group"] == "my-sae"
    assert "step 4" in second.settings["name"]
    assert [step for step, _ in first.logged] == [1, 2, 3, 4, 5]
    assert [step for step, _ in second.logged] == [6, 8, 10]
    assert second.logged[0][1]["fvu"] == state(6).fvu
    assert "step" not in second.logged[0][1]
