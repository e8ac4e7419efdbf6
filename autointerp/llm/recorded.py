"""The outermost wrapper: what the ledger holds is not asked again."""

from __future__ import annotations

import asyncio

from autointerp.llm.client import Client
from autointerp.llm.ledger import Entry, Ledger
from autointerp.llm.request import Answer, Request, key_of, request_text


class Recorded:
    """Serves from the ledger; else asks, stores, and only then answers.

    Identical requests in flight at the same time share one flight. Answers that come in while others are being
    written are written together after them: the disk is asked once for all.
    """

    def __init__(self, inner: Client, ledger: Ledger, endpoint: str) -> None:
        self._inner, self._ledger, self._endpoint = inner, ledger, endpoint
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._waiting: list[tuple[Entry, asyncio.Future[Answer]]] = []
        self._writing: asyncio.Task[None] | None = None

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
            return await self._keep(Entry(name, self._endpoint, request.model, text, answer))
        finally:
            del self._flights[name]
            flight.set_result(None)

    async def _keep(self, entry: Entry) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await asyncio.shield(future)  # who asked may be cancelled: what came back is kept all the same

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                kept = await asyncio.to_thread(self._ledger.keep_all, [entry for entry, _ in batch])
            except BaseException as error:  # noqa: BLE001  everyone who waits is told
                for _, future in batch:
                    future.set_exception(error)
            else:
                for (_, future), answer in zip(batch, kept, strict=True):
                    future.set_result(answer)
        self._writing = None

    async def aclose(self) -> None:
        """Wait until everything that came back is written."""
        if self._writing is not None:
            await self._writing
