"""One coroutine, run to its end by code that is not asynchronous, also where a loop is running (a notebook)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


def run_aside(work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns or raises, from an event loop in a thread of its own. Ctrl-C cancels it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="autointerp-aside", daemon=True)
    thread.start()
    try:
        future: Future[_T] = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            asyncio.run_coroutine_threadsafe(_wind_down(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _wind_down() -> None:
    """End what is left: the work itself, when the wait for it was interrupted."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
