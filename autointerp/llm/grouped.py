"""Writes to a file, many at a time: the disk is asked once for all that wait, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_GATHERING = 0.004
"""Seconds in which more may come together; a write to a disk takes longer."""


class Grouped(Generic[Item, Result]):
    """What is put while a group is being written makes up the next group, in the order in which it was put."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        """`write` gives a result per item, all of them or an error for all; it is called in one thread, never twice
        at a time."""
        self._write_all = write
        self._thread = ThreadPoolExecutor(1, "autointerp-writes")
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._writing: asyncio.Task[None] | None = None

    def put(self, item: Item) -> asyncio.Future[Result]:
        """The result, once it is written. Await it behind `asyncio.shield`: what was put is written in any case."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return future

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(_GATHERING)
            group, self._waiting = self._waiting, []
            try:
                results = await loop.run_in_executor(self._thread, self._write_all, [item for item, _ in group])
            except BaseException as error:  # noqa: BLE001  everyone who waits is told
                for _, future in group:
                    future.set_exception(error)
            else:
                for (_, future), result in zip(group, results, strict=True):
                    future.set_result(result)
        self._writing = None

    async def aclose(self) -> None:
        """Wait until everything that was put is written, and end the thread."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()
