"""Training metrics, step by step: to a CSV file always, to TensorBoard or Weights & Biases when asked."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from sae.atomic import atomic_file
from sae.errors import SaeError
from sae.training.trainer import TrainState

_COLUMNS = tuple(field.name for field in fields(TrainState))
_AXIS, _CONSTANT = "step", "steps"
_PLACE = _COLUMNS.index(_AXIS)


class Logger(ABC):
    """A place where metrics go."""

    @abstractmethod
    def add(self, state: TrainState) -> None:
        """Write one step."""

    @abstractmethod
    def close(self) -> None:
        """Write what is pending; nothing can be added afterwards."""


class Loggers(Logger):
    """Several loggers, which get every Nth step, and the last."""

    def __init__(self, parts: Sequence[Logger], every: int) -> None:
        self._parts, self._every = parts, every

    def add(self, state: TrainState) -> None:
        """Pass the step on when it is one of those that are kept: a multiple of `every`, or the last."""
        if state.step % self._every == 0 or state.step == state.steps:
            for part in self._parts:
                part.add(state)

    def close(self) -> None:
        """Close every part, also when one of them fails."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.close)


def open_loggers(names: Sequence[str], csv: Path, resumed_at: int, every: int = 1) -> Loggers:
    """Open the file `csv` and the loggers in `names` (of `LOGGERS`), which write beside it.

    `resumed_at`: steps that the training had done when it was saved, 0 for a new one. The file's rows up to there are
    kept, later ones (of the part that was lost) are cut: it then reads as if nothing had been interrupted.
    `every`: write every Nth step, and the last. Raises SaeError for an unknown name, a logger whose package is not
    installed, and a file that can't be written or holds something else.
    """
    if every < 1:
        raise SaeError(f"metrics of every {every}th step", "give a number of at least 1")
    check_loggers(names)
    builders = [LOGGERS[name] for name in dict.fromkeys(names)]
    with ExitStack() as opened:
        parts: list[Logger] = []
        for build in (CsvLogger, *builders):
            parts.append(build(csv, resumed_at))
            opened.callback(parts[-1].close)
        opened.pop_all()
    return Loggers(parts, every)


def check_loggers(names: Sequence[str]) -> None:
    """Raise SaeError for an unknown name, and for a logger whose package is not installed: before hours of training."""
    for name in names:
        if name not in LOGGERS:
            raise SaeError(f"logger '{name}' is unknown", f"valid: {', '.join(LOGGERS)}")
        _package(name)


class CsvLogger(Logger):
    """One row per step, one column per field of TrainState; the row has left the process when `add` returns.

    What is killed while it writes leaves at most one row cut short, which the next one to open the file drops.
    """

    def __init__(self, path: Path, resumed_at: int) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaeError(f"can't write in {path.parent} ({error.strerror})", "give a writable folder") from error
        _cut(path, resumed_at)
        self._file = path.open("a", encoding="utf8")

    def add(self, state: TrainState) -> None:
        """See Logger."""
        self._file.write(_line(map(str, asdict(state).values())))
        self._file.flush()

    def close(self) -> None:
        """See Logger."""
        self._file.close()


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\n"


def _cut(path: Path, resumed_at: int) -> None:
    """Leave the header and the whole rows of steps up to `resumed_at`, in place of what is there."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf8") as target:
        target.write(_line(_COLUMNS))
        if not resumed_at or not path.exists():
            return
        with path.open(encoding="utf8", errors="replace") as source:
            if source.readline() != _line(_COLUMNS):
                raise SaeError(f"{path} holds other columns than these metrics", "move it away")
            for row in source:
                step = row.split(",")[_PLACE]
                if not row.endswith("\n") or not step.isdigit() or int(step) > resumed_at:
                    return  # rows are in the order of the steps, and only the last can be cut short
                target.write(row)


class TensorBoardLogger(Logger):
    """Scalars in the folder `tensorboard` beside the CSV file."""

    def __init__(self, path: Path, resumed_at: int) -> None:
        _package("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        # Readers hide what an interrupted process wrote from `purge_step` on.
        made: Any = SummaryWriter(str(path.parent / "tensorboard"), purge_step=resumed_at + 1 if resumed_at else None)
        self._writer = made

    def add(self, state: TrainState) -> None:
        """See Logger."""
        for name, value in _values(state).items():
            self._writer.add_scalar(f"train/{name}", value, state.step)

    def close(self) -> None:
        """See Logger."""
        self._writer.close()


class WandbLogger(Logger):
    """A run of Weights & Biases, grouped by the name of the CSV file's folder.

    Project, account and offline mode are its own settings (WANDB_PROJECT, WANDB_MODE...). A continued training is a new
    run in the same group, whose curves start at the step where it continues.
    """

    def __init__(self, path: Path, resumed_at: int) -> None:
        wandb: Any = _package("wandb")
        group = path.parent.name
        self._run = wandb.init(
            dir=str(path.parent),
            group=group,
            name=f"{group}, from step {resumed_at}" if resumed_at else group,
            reinit="create_new",  # several SAEs are trained side by side, each with its own run
        )

    def add(self, state: TrainState) -> None:
        """See Logger."""
        self._run.log(dict(_values(state)), step=state.step)

    def close(self) -> None:
        """See Logger."""
        self._run.finish()


LOGGERS: Mapping[str, Callable[[Path, int], Logger]] = {"tensorboard": TensorBoardLogger, "wandb": WandbLogger}
"""Loggers that may be asked for by name, beside the CSV file; each is built from its path and the steps done."""


def _values(state: TrainState) -> dict[str, int | float]:
    """What is drawn over the steps."""
    return {name: value for name, value in asdict(state).items() if name not in (_AXIS, _CONSTANT)}


def _package(name: str) -> ModuleType:
    """The package that a logger needs: it has the logger's name."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SaeError(
            f"the logger '{name}' needs the package of that name, which can't be imported", f"pip install {name}"
        ) from error
