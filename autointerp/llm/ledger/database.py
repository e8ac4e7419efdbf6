"""SQLite files that several processes share: opened with patience, written many rows at a time, errors in one line."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from autointerp.errors import BadInput

_BUSY_SECONDS = 60.0
_OPENING_SECONDS = 20.0


def unusable(path: Path | None, error: Exception) -> BadInput:
    """What a damaged, locked or unwritable file comes to."""
    return BadInput(f"{path} can't be used ({error})", "give a writable folder, or move the file away")


def open_base(path: Path | None, synchronous: str, script: str) -> sqlite3.Connection:
    """Open or create a file in WAL mode, autocommit, with the tables of `script`; None: in memory.

    Raises BadInput when it is damaged or can't be written. The switch to WAL does not wait for other processes that
    are just creating the file, so it is tried again for 20 seconds.
    """
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        where = ":memory:" if path is None else path
        base = sqlite3.connect(where, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from error
    deadline = time.monotonic() + _OPENING_SECONDS
    while True:
        try:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute(f"PRAGMA synchronous = {synchronous}")
            base.executescript(script)
            return base
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                base.close()
                raise unusable(path, error) from error
            time.sleep(0.05)
        except sqlite3.Error as error:
            base.close()
            raise unusable(path, error) from error


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the block or nothing of it. Raises what the block or SQLite raises."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield base
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there; SQLite's errors come out as BadInput."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as base:
            yield base
    except sqlite3.Error as error:
        raise unusable(path, error) from error


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
