"""From asynchronous clients to stages that just ask: an event loop in a thread, and a bounded crew of workers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from autointerp.llm.client import Client
from autointerp.llm.request import Answer, Request
from autointerp.progress import Bar

_T = TypeVar("_T")


class AsyncAsker:
    """Asks a Client for many requests at once, in the order given, at most `workers` under way.

    The loop runs in a thread of its own, so that it also works where a loop is running already (a notebook).
    """

    def __init__(
        self, client: Client, identity: str, workers: int, aclose: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.identity = identity
        """Names the endpoint."""
        self._client, self._workers, self._aclose = client, workers, aclose
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="autointerp-llm", daemon=True)
        self._thread.start()

    def ask_all(self, requests: Sequence[Request], progress: Bar) -> list[Answer]:
        """Answers in the order of the requests.

        Raises the first BadInput; then, and on Ctrl-C, what is under way is cancelled. What was finished is in the
        ledger.
        """
        return self._run(self._ask_all(requests, progress))

    async def _ask_all(self, requests: Sequence[Request], progress: Bar) -> list[Answer]:
        answers: dict[int, Answer] = {}
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for place, request in waiting:
                answers[place] = await self._client.complete(request)
                progress.advance()

        crew = [asyncio.create_task(work()) for _ in range(min(self._workers, len(requests)))]
        try:
            await asyncio.gather(*crew)
        finally:
            for task in crew:
                task.cancel()
            await asyncio.gather(*crew, return_exceptions=True)
        return [answers[place] for place in range(len(requests))]

    def _run(self, work: Coroutine[None, None, _T]) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is under way, close the connections, stop the thread."""
        self._run(self._wind_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_down(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._aclose is not None:
            await self._aclose()
