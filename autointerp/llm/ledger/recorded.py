"""The outermost wrapper: what the ledger holds is not asked again."""

from __future__ import annotations

import asyncio

from autointerp.llm.client import Client
from autointerp.llm.ledger.database import Grouped
from autointerp.llm.ledger.ledger import Ledger, LedgerEntry
from autointerp.llm.request import Answer, Request, key_of, request_text


class Recorded:
    """Serves from the ledger; else asks, stores, and only then answers.

    Identical requests in flight at the same time share one flight.
    """

    def __init__(self, inner: Client, ledger: Ledger, endpoint: str) -> None:
        self._inner, self._ledger, self._endpoint = inner, ledger, endpoint
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._writes = Grouped(ledger.keep_all)

    async def complete(self, request: Request) -> Answer:
        """The stored answer, or a new one that is stored first."""
        text = request_text(request)
        name = key_of(text, self._endpoint)
        while (flight := self._flights.get(name)) is not None:
            await asyncio.wait([flight])
        stored = self._ledger.find(name)
        if stored is not None:
            return stored
        flight = asyncio.get_running_loop().create_future()
        self._flights[name] = flight
        try:
            answer = await self._inner.complete(request)
            entry = LedgerEntry(name, self._endpoint, request.model, text, answer)
            # Who asked may be cancelled: what came back is kept all the same.
            return await asyncio.shield(self._writes.put(entry))
        finally:
            del self._flights[name]
            flight.set_result(None)

    async def aclose(self) -> None:
        """Wait until everything that came back is written."""
        await self._writes.aclose()
