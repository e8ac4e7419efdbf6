"""Speed: interleaved rounds, the machine's own speed between them, and the table."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from common.environments import Unavailable
from common.memory import available_mb
from common.tables import aligned
from common.workers import Worker

from saes.contestants import EVERYBODY, OURS, Entry, entries
from saes.crew import Crew
from saes.job import Data, Job, Outcome

ARCHITECTURES = ("topk", "batchtopk")
_PLANNED = 10_000
"""Steps that schedules reckon with: no latent is dead in the few that are measured."""
_POOL = 4
_MEMORY_SHARE = 0.85
_PATIENCE_SECONDS = 1200.0
GEMM = 4096


@dataclass(frozen=True)
class Setting:
    """One size of autoencoder, and how long it is measured."""

    d_in: int
    width: int
    k: int
    batch: int
    warm_up: int
    """Steps before those that are measured."""
    steps: int
    """Steps that are measured."""
    threads: int

    @property
    def sparse_gflop(self) -> float:
        """Of one step that computes no more than it must: the encoder's product, and four of k values per vector."""
        return 1e-9 * (2 * self.batch * self.d_in * self.width + 4 * 2 * self.batch * self.k * self.d_in)

    @property
    def encoder(self) -> tuple[int, int, int]:
        """Shape of the encoder's product."""
        return self.batch, self.d_in, self.width

    def job(self, entry: Entry) -> Job:
        """What a contestant is to do."""
        left = available_mb()
        return Job(
            architecture=entry.architecture,
            variant=entry.variant,
            data=Data("dictionary", self.d_in, max(2 * self.d_in, 1024), self.k, seed=0),
            width=self.width,
            k=self.k,
            penalty=entry.contestant.penalty,
            lr=1e-3,
            batch=self.batch,
            # One more: the last step's end is not seen.
            steps=self.warm_up + self.steps + 1,
            planned=_PLANNED,
            seed=0,
            pool=_POOL,
            dead_share=None,
            held_out=0,
            threads=self.threads,
            memory_mb=left and _MEMORY_SHARE * left,
        )

    def rate(self, outcome: Outcome) -> float:
        """Vectors per second of the measured steps."""
        seconds = outcome.seconds[self.warm_up :]
        return self.batch * len(seconds) / sum(seconds)


@dataclass(frozen=True)
class Row:
    """One contestant at one architecture and size."""

    architecture: str
    width: int
    name: str
    version: str
    best: float
    """Vectors per second, of the best round."""
    median: float
    """Of the middle round."""
    ours: float | None
    """How many times faster ours is: median over the rounds of the ratio within one. None where it was not run."""
    of_bound: float
    """Best rate as a share of the sparse bound."""
    peak_mb: float | None


@dataclass(frozen=True)
class Measured:
    """All rounds of one size."""

    setting: Setting
    runs: Mapping[Entry, Sequence[Outcome]]
    absent: Mapping[Entry, str]
    square: Sequence[float]
    """GFLOP/s of a square product of size GEMM, once a round."""
    encoder: Sequence[float]
    """GFLOP/s of the encoder's own product."""

    @property
    def bound(self) -> float:
        """Vectors per second of a sparse step at the speed of the square product."""
        return self.setting.batch * max(self.square) / self.setting.sparse_gflop

    def rows(self) -> Iterator[Row]:
        """One per contestant and architecture that was measured."""
        rate = self.setting.rate
        for entry, done in self.runs.items():
            ours = self.runs.get(Entry(OURS, entry.architecture, ""), ())
            ratios = [rate(own) / rate(other) for own, other in zip(ours, done, strict=False)]
            rates = [rate(outcome) for outcome in done]
            peaks = [outcome.peak_mb for outcome in done if outcome.peak_mb is not None]
            yield Row(
                architecture=entry.architecture,
                width=self.setting.width,
                name=entry.name,
                version=done[0].version,
                best=max(rates),
                median=median(rates),
                ours=median(ratios) if ratios else None,
                of_bound=max(rates) / self.bound,
                peak_mb=max(peaks) if peaks else None,
            )


def measure(setting: Setting, rounds: int, crew: Crew, only: Sequence[str], every_way: bool = True) -> Measured:
    """Measure everybody named in `only`, every contestant once a round and in the same order.

    Not `every_way`: of the ways that come to the same each contestant's default alone.
    """
    runs: dict[Entry, list[Outcome]] = defaultdict(list)
    absent: dict[Entry, str] = {}
    square: list[float] = []
    encoder: list[float] = []
    gemm = Worker(Path(sys.executable), "saes.clients.gemm")
    gemm.start()
    crew.prepare((contestant for contestant in EVERYBODY if contestant.name in only), _PATIENCE_SECONDS)
    gemm.ready(_PATIENCE_SECONDS)
    for number in range(rounds):
        for architecture in ARCHITECTURES:
            outcome = gemm.ask({"shapes": [(GEMM, GEMM, GEMM), setting.encoder], "threads": setting.threads}, 600)
            square.append(outcome["gflops"][0])
            encoder.append(outcome["gflops"][1])
            for entry in _entries(architecture, only, every_way):
                if entry in absent:
                    continue
                print(
                    f"M={setting.width} round {number + 1} of {rounds}: {architecture}, {entry.name}", file=sys.stderr
                )
                try:
                    runs[entry].append(crew.ask(entry.contestant, setting.job(entry), _PATIENCE_SECONDS))
                except Unavailable as reason:
                    runs.pop(entry, None)
                    absent[entry] = str(reason)
    gemm.close()
    return Measured(setting, dict(runs), absent, square, encoder)


def _entries(architecture: str, only: Sequence[str], every_way: bool) -> Iterator[Entry]:
    for contestant in EVERYBODY:
        if contestant.name in only:
            yield from entries(contestant, architecture, speed=every_way)


def table(measured: Measured) -> str:
    """The rows, aligned."""
    lines = [["", "", "vectors/s: best", "median", "ours is", "of the bound", "peak MB"]]
    for row in measured.rows():
        lines.append(
            [
                row.architecture,
                row.name,
                f"{row.best:,.0f}",
                f"{row.median:,.0f}",
                "" if row.ours is None or row.name == OURS.name else f"{row.ours:.2f}x",
                f"{row.of_bound:.0%}",
                "?" if row.peak_mb is None else f"{row.peak_mb:,.0f}",
            ]
        )
    return aligned(lines, left=2)


def heading(measured: Measured) -> str:
    """The size, the machine's speed in this run, and what bounds follow from it."""
    s = measured.setting
    own = s.batch * max(measured.encoder) / s.sparse_gflop
    return (
        f"d={s.d_in} M={s.width:,} k={s.k} batch {s.batch}, float32, {s.threads} threads; {s.steps} steps after "
        f"{s.warm_up} of warm-up\n"
        f"sparse step: {s.sparse_gflop:.1f} GFLOP; a {GEMM}^3 product at {max(measured.square):.0f} GFLOP/s bounds "
        f"it to {measured.bound:,.0f} vectors/s (the encoder's shape, {max(measured.encoder):.0f} GFLOP/s: {own:,.0f})"
    )


_GOALS = (("sparsify", 2.5), ("SAELens", 5.0))
_GOAL_OF_BOUND = 0.55
_GOAL_WIDTH = 4096


def goals(measured: Measured) -> list[str]:
    """What was aimed at beside what was reached, at the size that the goals are for."""
    if measured.setting.width != _GOAL_WIDTH:
        return []
    rows = list(measured.rows())
    lines = []
    for row in rows:
        for name, times in _GOALS:
            if row.name.startswith(name) and row.ours is not None:
                lines.append(_line(f"{row.architecture}: {times}x {row.name}", row.ours >= times, f"{row.ours:.2f}x"))
        if row.name == OURS.name:
            reached = row.of_bound >= _GOAL_OF_BOUND
            lines.append(
                _line(f"{row.architecture}: {_GOAL_OF_BOUND:.0%} of the bound", reached, f"{row.of_bound:.0%}")
            )
    return lines


def _line(goal: str, reached: bool, value: str) -> str:
    return f"{goal}: {'reached' if reached else 'NOT reached'} ({value})"


def as_json(measured: Measured) -> dict[str, Any]:
    """Everything that was measured at one size."""
    return {
        "setting": vars(measured.setting),
        "gemm_gflops": {"square": list(measured.square), "encoder": list(measured.encoder)},
        "bound": measured.bound,
        "rows": [vars(row) for row in measured.rows()],
        "step_seconds": {
            f"{entry.architecture}, {entry.name}": [outcome.seconds for outcome in done]
            for entry, done in measured.runs.items()
        },
        "not_measured": {f"{entry.architecture}, {entry.name}": reason for entry, reason in measured.absent.items()},
    }
