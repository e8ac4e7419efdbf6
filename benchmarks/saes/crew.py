"""The contestants' processes: one each, started when it is first needed, and the reasons of those who can't take part.

Several threads may ask; each contestant does one job at a time, and no more run at once than there are cores to use.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType

from common.environments import Unavailable, python_of
from common.workers import Worker

from saes.contestants import Contestant
from saes.job import Job, Outcome

_MEMORY = "can't allocate memory"


class Crew(AbstractContextManager["Crew"]):
    """Asks contestants, and ends their processes at the end."""

    def __init__(self, cache: Path, at_once: int) -> None:
        self._cache = cache
        self._workers: dict[Contestant, Worker] = {}
        self._broken: dict[Contestant, Unavailable] = {}
        self._locks: Mapping[Contestant, threading.Lock] = defaultdict(threading.Lock)
        self._cores = threading.Semaphore(at_once)
        self._digests: dict[tuple[object, ...], str] = {}

    def prepare(self, contestants: Iterable[Contestant], seconds: float) -> None:
        """Let them all import their libraries at the same time, instead of each before its first job."""
        ready = []
        for contestant in contestants:
            with suppress(Unavailable):  # `ask` gives the reason
                ready.append(self._worker(contestant))
                ready[-1].start()
        for worker in ready:
            worker.ready(seconds)

    def ask(self, contestant: Contestant, job: Job, seconds: float) -> Outcome:
        """The outcome of one job. Raises Unavailable with the reason."""
        with self._locks[contestant]:
            worker = self._worker(contestant)
            with self._cores:
                try:
                    outcome = Outcome.of_json(worker.ask(job.as_json(), seconds))
                except Unavailable as reason:
                    if _MEMORY in str(reason) and job.memory_mb:
                        limit = f"needs more than the {job.memory_mb / 1024:.1f} GB of memory that there are"
                        raise Unavailable(limit) from reason
                    raise
        self._compare(job, outcome)
        return outcome

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.close()

    def _worker(self, contestant: Contestant) -> Worker:
        if contestant in self._broken:
            raise self._broken[contestant]
        if contestant not in self._workers:
            try:
                environment = contestant.environment
                python = python_of(environment, self._cache) if environment else Path(sys.executable)
            except Unavailable as reason:
                self._broken[contestant] = reason
                raise
            self._workers[contestant] = Worker(python, f"saes.clients.{contestant.module}")
        return self._workers[contestant]

    def _compare(self, job: Job, outcome: Outcome) -> None:
        """Everybody must have had the same vectors in the same order."""
        vectors = (job.data, job.batch, job.steps, job.pool)
        if self._digests.setdefault(vectors, outcome.digest) != outcome.digest:
            raise Unavailable("was given other vectors than the contestants before it")
