"""The innermost wrapper: so many requests in flight, and no more."""

from __future__ import annotations

import asyncio

from autointerp.llm.client import Client
from autointerp.llm.request import Answer, Request


class Limited:
    """Holds a slot only while the endpoint works: a request that waits for its next try holds none."""

    def __init__(self, inner: Client, slots: int) -> None:
        self._inner, self._slots = inner, asyncio.Semaphore(slots)

    async def complete(self, request: Request) -> Answer:
        """Ask once a slot is free."""
        async with self._slots:
            return await self._inner.complete(request)
