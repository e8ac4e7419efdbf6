"""Quality: what each contestant recovers of dictionaries that are known, over several seeds."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from common.environments import Unavailable

from saes.contestants import Contestant, Entry, entries
from saes.crew import Crew
from saes.job import METRICS, Data, Job, Score
from saes.search import Settings, best_settings

_SEARCH_SEED = 1000
_DEAD_SHARE = 0.1
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Problem:
    """Planted data and the size of the autoencoder, which is one table."""

    title: str
    data: Data
    width: int

    @property
    def k(self) -> int:
        """Active latents that are aimed at: as many as there are true features in a vector."""
        return round(self.data.active)


_DICTIONARY = Data("dictionary", d_in=48, atoms=128, active=3.0, seed=0)
_TOY = Data("toy", d_in=24, atoms=96, active=2.0, seed=0)
PROBLEMS = (
    Problem("sparse dictionary, as many latents as true features", _DICTIONARY, 128),
    Problem("sparse dictionary, twice as many latents", _DICTIONARY, 256),
    Problem("toy model of superposition", _TOY, 96),
)


@dataclass(frozen=True)
class Plan:
    """How long everybody trains, and on what."""

    problems: Sequence[Problem]
    seeds: int
    steps: int
    batch: int
    rates: Sequence[float]
    """Learning rates that are tried, on the first problem."""
    held_out: int = 8192

    def job(self, problem: Problem, entry: Entry, settings: Settings, seed: int) -> Job:
        """One training run; the vectors and the start both come from `seed`."""
        return Job(
            architecture=entry.architecture,
            variant=entry.variant,
            data=replace(problem.data, seed=seed),
            width=problem.width,
            k=problem.k,
            penalty=settings.penalty,
            lr=settings.lr,
            batch=self.batch,
            steps=self.steps,
            planned=self.steps,
            seed=seed,
            pool=0,
            dead_share=_DEAD_SHARE,
            held_out=self.held_out,
            threads=1,
            memory_mb=None,
        )


@dataclass(frozen=True)
class Row:
    """One contestant on one problem."""

    problem: Problem
    entry: Entry
    version: str
    settings: Settings
    scores: Sequence[Score]
    """One per seed."""

    def values(self, metric: str) -> list[float]:
        """One metric over the seeds."""
        return [float(getattr(score, metric)) for score in self.scores]

    def mean(self, metric: str) -> float:
        """Over the seeds."""
        return fmean(self.values(metric))

    def spread(self, metric: str) -> float | None:
        """Standard deviation over the seeds; None for a single one."""
        return stdev(self.values(metric)) if len(self.scores) > 1 else None

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured."""
        return {
            "problem": self.problem.title,
            "architecture": self.entry.architecture,
            "contestant": self.entry.name,
            "version": self.version,
            "settings": vars(self.settings),
            "scores": [vars(score) for score in self.scores],
            "mean": {metric: self.mean(metric) for metric in METRICS},
            "sd": {metric: self.spread(metric) for metric in METRICS},
        }


Absent = Mapping[tuple[str, str], str]
"""Reasons, by architecture and contestant."""


def measure(
    plan: Plan, contestants: Sequence[Contestant], architectures: Sequence[str], crew: Crew
) -> tuple[list[Row], Absent]:
    """Every contestant's rows, contestants side by side, and the reasons of what could not be measured."""
    with ThreadPoolExecutor(len(contestants)) as pool:
        parts = list(pool.map(lambda contestant: _of_one(plan, contestant, architectures, crew), contestants))
    rows = [row for part, _ in parts for row in part]
    absent = {name: reason for _, reasons in parts for name, reason in reasons.items()}
    return rows, absent


def _of_one(
    plan: Plan, contestant: Contestant, architectures: Sequence[str], crew: Crew
) -> tuple[list[Row], dict[tuple[str, str], str]]:
    rows: list[Row] = []
    absent: dict[tuple[str, str], str] = {}
    for architecture in architectures:
        found = entries(contestant, architecture)
        if not found:
            absent[architecture, contestant.name] = contestant.lacks
        for entry in found:
            try:
                for row in _rows(plan, entry, crew):
                    rows.append(row)
            except Unavailable as reason:
                absent[architecture, entry.name] = str(reason)
    return rows, absent


def _rows(plan: Plan, entry: Entry, crew: Crew) -> Iterator[Row]:
    """The learning rate is searched on the first problem, the penalty on each."""
    rates, penalty = plan.rates, entry.contestant.penalty
    for problem in plan.problems:
        print(f"{problem.title}: {entry.architecture}, {entry.name}", file=sys.stderr, flush=True)

        def trained(settings: Settings, seed: int = _SEARCH_SEED, problem: Problem = problem) -> tuple[str, Score]:
            outcome = crew.ask(entry.contestant, plan.job(problem, entry, settings, seed), _PATIENCE_SECONDS)
            assert outcome.score is not None
            return outcome.version, outcome.score

        settings = Settings(rates[0], penalty)
        if entry.penalised or len(rates) > 1:
            settings = best_settings(lambda s: trained(s)[1], rates, penalty, problem.k, entry.penalised)
        runs = [trained(settings, seed) for seed in range(plan.seeds)]
        yield Row(problem, entry, runs[0][0], settings, [score for _, score in runs])
        rates, penalty = (settings.lr,), settings.penalty


def by_problem(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by problem and architecture, in their order."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.problem.title, row.entry.architecture].append(row)
    return groups
