"""The two interfaces: `Client` asks one thing, `Asker` asks many; and the fault that is worth another try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from autointerp.llm.request import Answer, Request
from autointerp.progress import Bar


@runtime_checkable
class Client(Protocol):
    """One method; each wrapper adds one behaviour and calls the next."""

    async def complete(self, request: Request) -> Answer:
        """Ask once.

        Raises BadInput for what no later try would mend (a wrong key, a request that the endpoint refuses).
        """
        ...


@runtime_checkable
class Asker(Protocol):
    """What a stage holds: many requests in, as many answers out."""

    identity: str
    """Stable text that names provider and endpoint, or provider and weights; part of every ledger key."""

    def ask_all(self, requests: Sequence[Request], progress: Bar) -> list[Answer]:
        """Answers in the order of the requests; `progress` advances by one per request."""
        ...


class Transient(Exception):
    """A fault that another try may mend: a rate limit, an endpoint that is down, a broken body."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        """In words that group well."""
        self.retry_after = retry_after
        """Seconds that the endpoint asked to wait; None when it did not say."""
