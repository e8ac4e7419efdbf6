"""Who may send now: a line of requests before a number of slots that adapts to what the endpoint can take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

from autointerp.llm.client import Client, NotSent, Transient
from autointerp.llm.request import Answer, Request

_LONGEST_PAUSE = 60.0
_CLOCK = 0.001
"""A timer may fire this much before its time."""


class Slots:
    """So many requests in flight and no more; first come, first served.

    When the endpoint is crowded the number of slots halves, once per round of requests, and nothing new is sent
    before the time that it asked for; with every answer it grows again, quickly up to half of what was too much and
    slowly beyond (the rule by which TCP shares a line: Jacobson 1988).
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self.number = float(most)
        """How many may be in flight now; a fraction does not count."""
        self._threshold = float(most)
        self._busy, self._waiting = 0, deque[asyncio.Future[None]]()
        self._cut = self._resume = float("-inf")

    async def enter(self) -> None:
        """Wait for a slot. Raises NotSent when cancelled before there is one."""
        if self._waiting or self._busy >= int(self.number) or self._paused():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():  # admitted, and cancelled in the same moment
                    self.leave()
                raise NotSent from None
        else:
            self._busy += 1

    def leave(self) -> None:
        """Give the slot to the next in line."""
        self._busy -= 1
        self._admit()

    def _paused(self) -> bool:
        return asyncio.get_running_loop().time() + _CLOCK < self._resume

    def _admit(self) -> None:
        while self._waiting and self._busy < int(self.number) and not self._paused():
            place = self._waiting.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)

    def shrink(self, sent: float, retry_after: float | None) -> None:
        """The endpoint was too crowded for a request that was sent at this time of the loop's clock."""
        loop = asyncio.get_running_loop()
        if sent > self._cut:
            self._cut = loop.time()
            self.number = self._threshold = max(1.0, self.number / 2)
        if retry_after:
            self._resume = max(self._resume, loop.time() + min(retry_after, _LONGEST_PAUSE))
            loop.call_at(self._resume, self._admit)

    def grow(self) -> None:
        """The endpoint took a request."""
        if self.number < self._most:
            step = 1.0 if self.number < self._threshold else 1.0 / self.number
            self.number = min(self._most, self.number + step)


SENDING: ContextVar[Callable[[], None] | None] = ContextVar("SENDING", default=None)
"""What is to be done, once or more, when the request that is being made gets its slot; None: nothing."""


class Turn:
    """One request's right to a slot."""

    def __init__(self, slots: Slots) -> None:
        self._slots, self._held = slots, False
        self.sent = float("-inf")
        """When the slot was had, by the loop's clock."""

    async def take(self) -> None:
        """Wait for a slot and hold it; nothing to do when it is held already. Raises NotSent."""
        if not self._held:
            await self._slots.enter()
            self._held = True
            self.sent = asyncio.get_running_loop().time()
            if (note := SENDING.get()) is not None:
                note()

    def give_back(self) -> None:
        """Let the next request go; nothing to do when no slot is held."""
        if self._held:
            self._held = False
            self._slots.leave()


TURN: ContextVar[Turn | None] = ContextVar("TURN", default=None)
"""The turn of the request that is being made; None where nobody counts (a probe)."""


class Limited:
    """Holds a slot only while the endpoint works: a request that waits for its next try holds none.

    A provider that takes turns (`Provider.takes_turns`) takes its slot itself (`TURN`), when its request is ready to be
    sent, and gives it back with the last byte of the answer: what it does before and after keeps no slot empty.
    """

    def __init__(self, inner: Client, slots: int, takes_turns: bool = False) -> None:
        self._inner = inner
        self._inner_takes = takes_turns
        self.slots = Slots(slots)
        """The line before the endpoint."""

    async def complete(self, request: Request) -> Answer:
        """Ask once a slot is free."""
        turn = Turn(self.slots)
        before = TURN.set(turn)
        try:
            if not self._inner_takes:
                await turn.take()
            answer = await self._inner.complete(request)
        except Transient as fault:
            if fault.crowded:
                self.slots.shrink(turn.sent, fault.retry_after)
            raise
        else:
            self.slots.grow()
            return answer
        finally:
            TURN.reset(before)
            turn.give_back()
