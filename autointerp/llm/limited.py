"""The innermost wrapper: so many requests in flight and no more, fewer while the endpoint says that it is crowded."""

from __future__ import annotations

import asyncio
from collections import deque

from autointerp.llm.client import Client, NotSent, Transient
from autointerp.llm.request import Answer, Request

_LONGEST_PAUSE = 60.0
_CLOCK = 0.001
"""A timer may fire this much before its time."""


class Limited:
    """Holds a slot only while the endpoint works: a request that waits for its next try holds none.

    When the endpoint is crowded the number of slots halves, once per round of requests, and nothing new is sent
    before the time that it asked for; with every answer it grows again, quickly up to half of what was too much and
    slowly beyond (the rule by which TCP shares a line: Jacobson 1988).
    """

    def __init__(self, inner: Client, slots: int) -> None:
        self._inner, self._most = inner, float(slots)
        self.slots = float(slots)
        """How many may be in flight now; a fraction does not count."""
        self._threshold = float(slots)
        self._busy, self._waiting = 0, deque[asyncio.Future[None]]()
        self._cut = self._resume = float("-inf")

    async def complete(self, request: Request) -> Answer:
        """Ask once a slot is free."""
        await self._enter()
        sent = asyncio.get_running_loop().time()
        try:
            answer = await self._inner.complete(request)
        except Transient as fault:
            if fault.crowded:
                self._shrink(sent, fault.retry_after)
            raise
        else:
            self._grow()
            return answer
        finally:
            self._busy -= 1
            self._admit()

    async def _enter(self) -> None:
        if self._waiting or self._busy >= int(self.slots) or self._paused():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():  # admitted, and cancelled in the same moment
                    self._busy -= 1
                    self._admit()
                raise NotSent from None
        else:
            self._busy += 1

    def _paused(self) -> bool:
        return asyncio.get_running_loop().time() + _CLOCK < self._resume

    def _admit(self) -> None:
        while self._waiting and self._busy < int(self.slots) and not self._paused():
            place = self._waiting.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)

    def _shrink(self, sent: float, retry_after: float | None) -> None:
        loop = asyncio.get_running_loop()
        if sent > self._cut:
            self._cut = loop.time()
            self.slots = self._threshold = max(1.0, self.slots / 2)
        if retry_after:
            self._resume = max(self._resume, loop.time() + min(retry_after, _LONGEST_PAUSE))
            loop.call_at(self._resume, self._admit)

    def _grow(self) -> None:
        if self.slots < self._most:
            step = 1.0 if self.slots < self._threshold else 1.0 / self.slots
            self.slots = min(self._most, self.slots + step)
