"""The wrapper that pays: every attempt is reserved at its worst case before it is sent, and settled after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.prices import Tokens, price, used, worst_case
from autointerp.llm.client import Client, NotSent, Transient
from autointerp.llm.ledger.database import Grouped
from autointerp.llm.online.slots import SENDING
from autointerp.llm.providers import provider_traits
from autointerp.llm.request import Answer, Request
from autointerp.progress import say
from autointerp.study_models import Budget, Llm

T = TypeVar("T")


def check_price(budget: Budget, llm: Llm) -> None:
    """Raise BadInput for a limit in dollars that can't hold, since a price is unknown."""
    if budget.limit_usd is not None and not llm.priced:
        raise BadInput(
            f"budget.limit_usd = {budget.limit_usd:g}, and the price of model '{llm.model}' is unknown",
            "give input_usd and output_usd (dollars per million tokens), or set budget.limit_tokens instead",
        )


class Purse:
    """Pays for the requests of one stage to one model."""

    def __init__(self, usage: Usage, stage: str, llm: Llm, discount: float = 1.0) -> None:
        """`discount` multiplies the prices. Raises BadInput for a limit in dollars without prices."""
        check_price(usage.budget, llm)
        self._usage, self._stage, self._llm, self._discount = usage, stage, llm, discount
        self._reserved: dict[int, int] = {}
        self._beyond = 0
        self._charges_cache_writes = provider_traits(llm).charges_cache_writes

    def together(self, entries: Sequence[Callable[[], T]]) -> list[T]:
        """What several calls of this purse return, written down at once."""
        with self._usage.together():
            return [entry() for entry in entries]

    def reserve(self, request: Request, *, waiting: bool = False) -> int | None:
        """A ticket for one attempt; None when its worst case might pass a limit. `waiting`: until `send` it is not
        sent, and costs nothing should this process die."""
        worst, nano = self._worst(request)
        ticket = self._usage.reserve(self._stage, self._llm.model, worst, nano, waiting=waiting)
        if ticket is not None:
            self._reserved[ticket] = worst.total
        return ticket

    def _worst(self, request: Request) -> tuple[Tokens, int | None]:
        worst = worst_case(request)
        if not self._charges_cache_writes:
            worst = replace(worst, written_input=0)
        worst = replace(worst, output=worst.output + self._beyond)
        return worst, price(self._llm, worst, self._discount)

    def settle(self, ticket: int, answer: Answer | None) -> None:
        """Pay what the endpoint says was used; without an answer, or when it does not say, the worst case stays."""
        tokens = None if answer is None else used(answer)
        reserved = self._reserved.pop(ticket, None)
        if tokens is not None:
            if reserved is not None and tokens.total > reserved:
                self._learn(tokens.total - reserved)
            self._usage.settle(ticket, tokens, price(self._llm, tokens, self._discount))

    def _learn(self, more: int) -> None:
        """An endpoint that bills more than max_tokens (hidden reasoning): from now on that much more is reserved."""
        if not self._beyond:
            say(
                f"  model '{self._llm.model}' used {more:,} tokens more than it was allowed to write; so many more are "
                "reserved from now on"
            )
        self._beyond += more

    def send(self, ticket: int) -> None:
        """The attempt is sent now."""
        self._usage.send(ticket)

    def release(self, ticket: int) -> None:
        """The attempt was surely not billed."""
        self._reserved.pop(ticket, None)
        nothing = Tokens()
        self._usage.settle(ticket, nothing, price(self._llm, nothing), billed=False)

    def reached(self, request: Request) -> BudgetReached:
        """The error that names the limit that stands in the way of this request."""
        budget, (tokens, usd) = self._usage.budget, self._usage.spent()
        worst, nano = self._worst(request)
        if budget.limit_tokens is not None and tokens + worst.total > budget.limit_tokens:
            return BudgetReached(
                f"stopped by budget.limit_tokens = {budget.limit_tokens:,} ({tokens:,} spent, the next request may use "
                f"{worst.total:,}): everything finished is kept; raise the limit to continue"
            )
        return BudgetReached(
            f"stopped by budget.limit_usd = {budget.limit_usd} ({usd:.6f} spent, the next request may cost "
            f"{(nano or 0) / 1e9:.6f}): everything finished is kept; raise the limit to continue"
        )


class Budgeted:
    """Sends nothing that might pass a limit.

    A request that does not fit waits while others are under way, since they mostly settle below their worst case;
    when none is, it raises BudgetReached.
    """

    def __init__(self, inner: Client, purse: Purse) -> None:
        self._inner, self._purse = inner, purse
        self._under_way = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._books: Grouped[Callable[[], int | None], int | None] = Grouped(purse.together)

    async def complete(self, request: Request) -> Answer:
        """Ask once, paid for."""
        ticket = await self._reserve(request)
        self._under_way += 1
        before = SENDING.set(partial(self._purse.send, ticket))
        try:
            answer = await self._inner.complete(request)
        except Transient as fault:
            if not fault.billed:
                await self._release(ticket)
            raise
        except (BadInput, NotSent):
            await self._release(ticket)
            raise
        else:
            await asyncio.shield(self._books.put(partial(self._purse.settle, ticket, answer)))
            return answer
        finally:
            SENDING.reset(before)
            self._under_way -= 1
            self._wake()

    async def _reserve(self, request: Request) -> int:
        while (ticket := await self._ticket(request)) is None:
            if not self._under_way:
                raise self._purse.reached(request)
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        return ticket

    async def _ticket(self, request: Request) -> int | None:
        granting = self._books.put(partial(self._purse.reserve, request, waiting=True))
        try:
            return await asyncio.shield(granting)
        except asyncio.CancelledError:
            ticket = await granting
            if ticket is not None:
                await self._release(ticket)
            raise NotSent from None

    async def _release(self, ticket: int) -> None:
        await asyncio.shield(self._books.put(partial(self._purse.release, ticket)))

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def aclose(self) -> None:
        """Wait until everything is written down."""
        await self._books.aclose()
