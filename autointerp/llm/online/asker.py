"""From asynchronous clients to stages that just ask: an event loop in a thread, and a bounded window of requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from autointerp.errors import BudgetReached
from autointerp.llm.client import Client
from autointerp.llm.request import Answer, Request

_T = TypeVar("_T")
_Result = tuple[int, Answer | BaseException]
_AT_ONCE = 16
"""Requests that are handed over together; the first should not wait until all that may be under way are made."""


class AsyncAsker:
    """Asks a Client for many requests at once, taken in the order given, at most `window` under way.

    The loop runs in a thread of its own, so that it also works where a loop is running already (a notebook), and
    requests are made and answers read in the caller's thread, so that a slow reader never holds up the connections.
    """

    def __init__(
        self,
        client: Client,
        identity: str,
        window: int,
        reasks: int,
        aclose: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.identity = identity
        """Names the endpoint."""
        self.reasks = reasks
        """Further draws of an answer that can't be read."""
        self._client, self._window, self._aclose = client, window, aclose
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="autointerp-llm", daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[None]] = set()

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield (position, answer) as answers come in.

        At BadInput, at Ctrl-C and when the caller stops reading, what is under way is cancelled. At BudgetReached
        no more is sent, what is under way is yielded, and then it is raised.
        """
        results: SimpleQueue[_Result] = SimpleQueue()
        waiting, under_way = enumerate(requests), 0
        stopped: BudgetReached | None = None
        try:
            while True:
                room = 0 if stopped is not None else self._window - under_way
                while started := list(islice(waiting, min(room, _AT_ONCE))):
                    self._loop.call_soon_threadsafe(self._begin, started, results)
                    under_way, room = under_way + len(started), room - len(started)
                if not under_way:
                    break
                for place, result in _all_there(results):
                    under_way -= 1
                    if isinstance(result, BudgetReached):
                        stopped = result
                    elif isinstance(result, BaseException):
                        raise result
                    else:
                        yield place, result
        finally:
            if under_way and not self._loop.is_closed():
                self._run(self._cancel_all())
        if stopped is not None:
            raise stopped

    def _begin(self, started: Sequence[tuple[int, Request]], results: SimpleQueue[_Result]) -> None:
        for place, request in started:
            task = self._loop.create_task(self._ask(place, request, results))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, place: int, request: Request, results: SimpleQueue[_Result]) -> None:
        try:
            results.put((place, await self._client.complete(request)))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  handed over to the thread that asked
            results.put((place, error))

    def _run(self, work: Coroutine[None, None, _T]) -> _T:
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Cancel what is under way, close the connections, stop the thread."""
        self._run(self._wind_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_down(self) -> None:
        await self._cancel_all()
        if self._aclose is not None:
            await self._aclose()


def _all_there(results: SimpleQueue[_Result]) -> list[_Result]:
    """Everything that is in the queue, at least one: waits for it."""
    found = [results.get()]
    while not results.empty():
        found.append(results.get())
    return found
