"""The outermost wrapper: what the ledger holds is not asked again."""

from __future__ import annotations

import asyncio

from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Answer, Request, key


class Recorded:
    """Serves from the ledger; else asks, stores, and only then answers.

    Identical requests in flight at the same time share one flight.
    """

    def __init__(self, inner: Client, ledger: Ledger, endpoint: str) -> None:
        self._inner, self._ledger, self._endpoint = inner, ledger, endpoint
        self._flights: dict[str, asyncio.Lock] = {}

    async def complete(self, request: Request) -> Answer:
        """The stored answer, or a new one that is stored first."""
        name = key(request, self._endpoint)
        lock = self._flights.setdefault(name, asyncio.Lock())
        async with lock:
            stored = self._ledger.get(request, self._endpoint)
            if stored is not None:
                return stored
            try:
                return self._ledger.put(request, self._endpoint, await self._inner.complete(request))
            finally:
                self._flights.pop(name, None)
