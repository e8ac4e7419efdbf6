"""Runs one contestant inside its own process and measures that process. Standard library only.

The parent waits for the line `ready` (imports and connections are done, every slot has been used once), sends a line
when the timed part may begin, and reads one line of JSON when it is over.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass

from common.memory import memory_mb

from throughput.workload import answer

READY = "ready"


@dataclass(frozen=True)
class Job:
    """What a contestant is told."""

    url: str
    """Base URL of the endpoint, `/v1` included."""
    requests: int
    slots: int
    folder: str
    """An empty folder on disk that it may use."""


@dataclass(frozen=True)
class Measured:
    """What one timed run came to."""

    version: str
    """Package and version that was measured."""
    requests: int
    answered: int
    """Answers that are the ones to their requests."""
    seconds: float
    cpu_seconds: float
    """User and system time of the client's process, all its threads."""
    peak_mb: float | None
    """Most resident memory of the process's life; None where there is no /proc."""
    growth_mb: float | None
    """Resident memory at the end less that after a quarter of the requests."""


class Tally:
    """Is told of every answer, and looks at the memory after a quarter of them."""

    def __init__(self, requests: int) -> None:
        self._quarter = requests // 4
        self.told = 0
        self.answered = 0
        self.quarter_mb: float | None = None

    def tell(self, number: int, text: str | None) -> None:
        """Request `number` came to `text`; None for a failure."""
        self.told += 1
        self.answered += text == answer(number)
        if self.told == self._quarter:
            self.quarter_mb = memory_mb("VmRSS")


Work = Callable[[range, Tally], None]
"""Asks the requests of these numbers, and tells what they came to."""


def contest(job: Job, version: str, work: Work) -> None:
    """Warm up, wait for the word, measure, print the result."""
    work(range(-job.slots, 0), Tally(job.slots))
    gc.collect()
    print(READY, flush=True)
    sys.stdin.readline()
    tally = Tally(job.requests)
    started, cpu = time.perf_counter(), time.process_time()
    work(range(job.requests), tally)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    end_mb = memory_mb("VmRSS")
    growth = None if end_mb is None or tally.quarter_mb is None else end_mb - tally.quarter_mb
    result = Measured(version, job.requests, tally.answered, seconds, cpu, memory_mb("VmHWM"), growth)
    print(json.dumps(asdict(result)), flush=True)


def job() -> Job:
    """The job on this process's command line."""
    return Job(**json.loads(sys.argv[1]))


def crew(runner: asyncio.Runner, size: int, ask: Callable[[int], Awaitable[str | None]]) -> Work:
    """Work shared by `size` coroutines on one event loop: each takes the next request when it is done with its last."""

    async def worker(numbers: Iterator[int], tally: Tally) -> None:
        for number in numbers:
            tally.tell(number, await ask(number))

    async def workers(numbers: range, tally: Tally) -> None:
        rest = iter(numbers)
        await asyncio.gather(*(worker(rest, tally) for _ in range(size)))

    return lambda numbers, tally: runner.run(workers(numbers, tally))
