"""The interfaces: `Client` asks one thing, `Provider` is the client at the bottom, `Asker` asks many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.request import Answer, Request


@runtime_checkable
class Client(Protocol):
    """One method; each wrapper adds one behaviour and calls the next."""

    async def complete(self, request: Request) -> Answer:
        """Ask once.

        Raises BadInput for what no later try would mend (a wrong key, a request that the endpoint refuses), and
        Transient for what another try may mend.
        """
        ...


@dataclass(frozen=True)
class Probe:
    """What came of asking an endpoint what it can do."""

    found: Capabilities | BadInput
    """What it can do, or why it can't be asked at all."""
    answers: tuple[Answer, ...] = ()
    """Every answer that it gave: to be paid for, whatever was found."""
    lost: bool = False
    """A call that may have been billed was not answered: nobody knows for how much."""


@runtime_checkable
class Provider(Client, Protocol):
    """A client that talks to an endpoint itself: one attempt, no retries, no ledger."""

    identity: str
    """Names provider and endpoint, without secrets; part of every ledger key."""
    takes_turns: bool
    """True: it takes its slot itself, from the first byte of a request to the last of its answer (see `Limited`).
    False, if in doubt: a slot is held for it as long as `complete` runs."""

    async def probe(self) -> Probe:
        """Find out what the endpoint can do by one or two small real calls. Raises what `complete` raises."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


@runtime_checkable
class Asker(Protocol):
    """What a stage holds: many requests in, as many answers out."""

    identity: str
    """Stable text that names provider and endpoint, or provider and weights; part of every ledger key."""
    reasks: int
    """How often an answer that can't be read may be asked for again."""

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield (position of the request, answer) for every request, as answers come in.

        Requests are taken from the iterable as they are needed, so that memory does not grow with their number.
        Raises BadInput at the first one that an endpoint raises, and BudgetReached once what was under way has been
        yielded.
        """
        ...


class NotSent(asyncio.CancelledError):
    """The request was cancelled before it was sent: it can't have been billed."""


class Transient(Exception):
    """A fault that another try may mend: a rate limit, an endpoint that is down, a broken body."""

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        *,
        billed: bool = True,
        crowded: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        """In words that group well."""
        self.retry_after = retry_after
        """Seconds that the endpoint asked to wait; None when it did not say."""
        self.billed = billed
        """Whether the attempt may have been billed: False only where it surely was not (no connection, 429)."""
        self.crowded = crowded
        """The endpoint has too much to do (429, 503 with Retry-After): fewer requests at a time would help."""
        self.slow = slow
        """The endpoint is there, and did not answer within the time that the study gives it."""
