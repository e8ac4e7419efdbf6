"""The innermost wrapper: so many requests in flight and no more, fewer while the endpoint says that it is crowded."""

from __future__ import annotations

from autointerp.llm.client import Client, Transient
from autointerp.llm.online.slots import TURN, Slots, Turn
from autointerp.llm.request import Answer, Request


class Limited:
    """Holds a slot only while the endpoint works: a request that waits for its next try holds none.

    A provider with `takes_turns` takes its slot itself (`turns.TURN`), when its request is ready to be sent, and
    gives it back with the last byte of the answer: what it does before and after keeps no slot empty.
    """

    def __init__(self, inner: Client, slots: int) -> None:
        self._inner = inner
        self._inner_takes = getattr(inner, "takes_turns", False)
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
