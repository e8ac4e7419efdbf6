"""Questions of readers, one after the other in a thread of its own; everybody who watches is told of all of them."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from autointerp.errors import AutointerpError, BudgetReached
from autointerp.progress import say

MOST_WAITING = 8
"""Questions that wait; more are refused."""
_REMEMBERED = 60
"""Questions whose answers are shown to who comes later."""
_BEHIND = 500
"""Events that a reader may be behind; who is further behind is let go, and comes again."""
_STOPPING = 10.0
"""Seconds that what runs has to come to an end."""
Kind = Literal["explanation", "text", "judge"]
Told = dict[str, Any]


class Answering(Protocol):
    """What answers: a workbench."""

    def open(self) -> None:
        """Load what is asked first."""
        ...

    @property
    def predicts_here(self) -> bool:
        """Whether loading it before it is asked pays."""
        ...

    def explanation(self, unit: str, text: str, tell: Callable[[int, int | None], None]) -> Told:
        """Score an explanation."""
        ...

    def text(self, unit: str, text: str) -> Told:
        """Read a text."""
        ...

    def judge(self, unit: str, text: str | None, judge: str, tell: Callable[[int, int | None], None]) -> Told:
        """Ask a judge."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class Stopped(AutointerpError):
    """The server ends while a question is being answered."""


@dataclass(frozen=True)
class TypedQuestion:
    """A question, as it was typed."""

    kind: Kind
    unit: str
    text: str | None
    """None: a judge is asked about the run's own explanation."""
    judge: str = ""


@dataclass
class Job:
    """A question under way, or answered."""

    number: int
    asked: TypedQuestion
    state: Literal["queued", "running", "done", "failed"] = "queued"
    done: int = 0
    of: int | None = None
    reason: str = ""
    result: Told | None = None
    seconds: float | None = None

    def told(self) -> Told:
        """For JSON."""
        own = {name: value for name, value in vars(self).items() if name != "asked"}
        return {**own, **vars(self.asked)}


class Watchers:
    """Readers who are told of everything, on the event loop of the server."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Told | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> asyncio.Queue[Told | None]:
        """A further reader: what is told from now on is in its queue; None: it was let go."""
        self._loop = asyncio.get_running_loop()
        mine: asyncio.Queue[Told | None] = asyncio.Queue()
        self._queues.add(mine)
        return mine

    def end(self, mine: asyncio.Queue[Told | None]) -> None:
        """The reader is gone."""
        self._queues.discard(mine)

    def __len__(self) -> int:
        return len(self._queues)

    def tell(self, event: Told) -> None:
        """Tell every reader, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, event)

    def _hand_out(self, event: Told) -> None:
        for mine in list(self._queues):
            if mine.qsize() >= _BEHIND:
                self.end(mine)
                mine.put_nowait(None)
            else:
                mine.put_nowait(event)


class Jobs:
    """Takes questions and answers them one at a time."""

    def __init__(self, answering: Answering) -> None:
        """`answering`: is used, and closed, in the thread that works."""
        self.watchers = Watchers()
        self._answering, self._stopping = answering, threading.Event()
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._jobs: deque[Job] = deque(maxlen=_REMEMBERED)
        self._numbers = 0
        self._thread = threading.Thread(target=self._work, name="autointerp-browse", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def ask(self, asked: TypedQuestion) -> Job | None:
        """Take a question, or the same one that still waits or runs; None where too many wait."""
        with self._lock:
            open_ones = [job for job in self._jobs if job.state in ("queued", "running")]
            same = next((job for job in open_ones if job.asked == asked), None)
            if same is not None:
                return same
            if sum(job.state == "queued" for job in open_ones) >= MOST_WAITING:
                return None
            self._numbers += 1
            job = Job(self._numbers, asked)
            self._jobs.append(job)
        self._say(job)
        self._waiting.put(job)
        return job

    def told(self) -> list[Told]:
        """Every question that is remembered, with its answer, the oldest first."""
        with self._lock:
            return [job.told() for job in self._jobs]

    def stop(self) -> None:
        """Take no further question, and end the one that runs where it next tells of its progress."""
        self._stopping.set()
        self._waiting.put(None)
        self._thread.join(_STOPPING)

    def _say(self, job: Job) -> None:
        self.watchers.tell({"event": "job", "job": job.told()})

    def _work(self) -> None:
        try:
            self._warm_up()
            while (job := self._waiting.get()) is not None and not self._stopping.is_set():
                self._answer(job)
        finally:
            self._answering.close()

    def _warm_up(self) -> None:
        """Load the model before anybody waits for it; where that fails, the first question says so."""
        if not self._answering.predicts_here:
            return
        try:
            self._answering.open()
        except Exception as error:  # noqa: BLE001  said again, as its answer, to who asks
            say(f"the simulator can't be loaded: {' '.join(str(error).split())}")

    def _answer(self, job: Job) -> None:
        job.state = "running"
        self._say(job)
        began = time.monotonic()
        try:
            job.result = self._result(job)
            job.state = "done"
        except Exception as error:  # noqa: BLE001  whatever goes wrong is this question's answer, and the server lives
            job.state, job.reason = "failed", _reason(error)
        job.seconds = round(time.monotonic() - began, 3)
        self._say(job)

    def _result(self, job: Job) -> Told:
        last = 0.0

        def tell(done: int, of: int | None) -> None:
            nonlocal last
            if self._stopping.is_set():
                raise Stopped("the server ended: ask again")
            job.done, job.of = done, of
            if done == of or time.monotonic() - last > 0.1:  # a bar needs no more
                last = time.monotonic()
                self._say(job)

        asked, answering = job.asked, self._answering
        if asked.kind == "judge":
            return answering.judge(asked.unit, asked.text, asked.judge, tell)
        if asked.kind == "text":
            return answering.text(asked.unit, asked.text or "")
        return answering.explanation(asked.unit, asked.text or "", tell)


def _reason(error: Exception) -> str:
    """In one line, for who asked."""
    if isinstance(error, BudgetReached):
        return f"the run's budget is reached: {error}"
    if isinstance(error, AutointerpError):
        return str(error)
    return f"an error in autointerp ({type(error).__name__}: {' '.join(str(error).split())[:300]}): please report it"
