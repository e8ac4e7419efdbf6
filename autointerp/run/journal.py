"""Where the figures of every training step go: to the progress bar, and to the loggers of each SAE."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autointerp.progress import Bar, say
from autointerp.study_inputs import Training
from sae.training.loggers import Loggers, open_loggers
from sae.training.trainer import TrainState

_NOTED = 2
"""SAEs whose figures fit beside the bar."""


class Journal:
    """Opened with the first step, which tells where training goes on; `RUN/training/NAME/metrics.csv` per SAE."""

    def __init__(self, settings: Training, run: Path, progress: Bar) -> None:
        """`progress` is a bar over vectors."""
        self._settings, self._run, self._bar = settings, run, progress
        self._loggers: dict[str, Loggers] = {}

    def add(self, states: Mapping[str, TrainState]) -> None:
        """The states after a step, by the names of the SAEs, which all have seen the same vectors."""
        first = next(iter(states.values()))
        batch = first.vectors // first.step
        if not self._loggers:
            self._open(states, first.step - 1)
            self._bar.advance((first.step - 1) * batch)
        for name, state in states.items():
            self._loggers[name].add(state)
        self._bar.note("  ".join(_figures(name, states) for name in list(states)[:_NOTED]))
        self._bar.advance(batch)

    def _open(self, states: Mapping[str, TrainState], resumed: int) -> None:
        if resumed:
            say(f"  training goes on from its checkpoint, after step {resumed:,}")
        for name in states:
            path = self._run / "training" / name / "metrics.csv"
            self._loggers[name] = open_loggers(self._settings.log, path, resumed, self._settings.log_every)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        for loggers in self._loggers.values():
            loggers.close()


def _figures(name: str, states: Mapping[str, TrainState]) -> str:
    state = states[name]
    lead = f"{name}: " if len(states) > 1 else ""
    return f"{lead}loss {state.loss:.3f}  L0 {state.l0:.0f}  dead {state.dead_share:.0%}"
