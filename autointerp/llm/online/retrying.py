"""Tries again what another try may mend; the SDKs' own retries are off: no request has two layers of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from autointerp.errors import BadInput
from autointerp.llm.client import Client, Transient
from autointerp.llm.request import Answer, Failure, Request
from autointerp.progress import say

_LONGEST_WAIT = 600.0
_BACK_OFF = wait_random_exponential(multiplier=0.5, max=30)
_DOWN, _HOPELESS = 8, 3
_SLOW = "raise llm.NAME.timeout, or lower llm.NAME.concurrency"


class Retrying:
    """Backs off with jitter, and never less than the endpoint asks for; after the last try, a Failure.

    Only Transient is tried again: a wrong key, a bad request and a refusal are not. When eight requests in a row
    fail on every try, the endpoint is taken to be down, and BadInput ends the run: it is no property of the units. So
    it does where nothing was ever answered, and eight requests have failed three times each.
    """

    def __init__(
        self,
        inner: Client,
        attempts: int,
        endpoint: str = "the endpoint",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inner, self._attempts, self._endpoint, self._sleep = inner, attempts, endpoint, sleep
        self._lost, self._hopeless, self._answered = 0, 0, False
        self._said: set[str] = set()

    async def complete(self, request: Request) -> Answer:
        """Ask up to `attempts` times."""
        try:
            answer = await self._inner.complete(request)
        except Transient as fault:
            return await self._again(request, fault)
        self._lost, self._answered = 0, True
        return answer

    async def _again(self, request: Request, fault: Transient) -> Answer:
        """All tries after the first, which came to `fault`."""
        first: Transient | None = fault

        async def attempt() -> Answer:
            nonlocal first
            if first is not None:
                earlier, first = first, None
                raise earlier
            return await self._inner.complete(request)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(self._attempts),
            wait=wait,
            sleep=self._sleep,
            before_sleep=self._announce,
        )
        try:
            answer: Answer = await retrying(attempt)
        except RetryError as error:
            return self._give_up(error)
        self._lost, self._answered = 0, True
        return answer

    def _give_up(self, error: RetryError) -> Failure:
        reason = f"{last_reason(error)} ({self._attempts} tries)"
        self._lost += 1
        if self._lost >= _DOWN:
            last = error.last_attempt.exception()
            slow = isinstance(last, Transient) and last.slow
            raise self._down(f"{reason}, {self._lost} requests in a row", slow) from None
        return Failure(reason)

    def _down(self, reason: str, slow: bool) -> BadInput:
        advice = f"it is there, and slow: {_SLOW}" if slow else "check it"
        return BadInput(
            f"{self._endpoint} gives no answers: {reason}",
            f"{advice}; what is finished is kept, and the same command continues",
        )

    def _announce(self, state: RetryCallState) -> None:
        fault = state.outcome.exception() if state.outcome else None
        if not isinstance(fault, Transient):
            return
        if fault.reason not in self._said:
            self._said.add(fault.reason)
            advice = f" If that goes on: {_SLOW}." if fault.slow else ""
            say(f"  {self._endpoint}: {fault.reason}; such requests are tried again (said once).{advice}")
        if not self._answered and not fault.crowded and state.attempt_number == _HOPELESS:
            self._hopeless += 1
            if self._hopeless >= _DOWN:
                raise self._down(
                    f"{fault.reason}, {_HOPELESS} times for each of {_DOWN} requests, and no other", fault.slow
                )


def last_reason(error: RetryError) -> str:
    """Why the last try failed."""
    last = error.last_attempt.exception()
    return last.reason if isinstance(last, Transient) else "unknown fault"


def wait(state: RetryCallState) -> float:
    """Seconds until the next try: a growing random time, or what the endpoint asked for where that is more.

    At most 600. An endpoint that asks for nothing, or for a moment in the past, does not get every try at once.
    """
    fault = state.outcome.exception() if state.outcome else None
    asked = fault.retry_after if isinstance(fault, Transient) else None
    return max(_BACK_OFF(state), min(asked or 0.0, _LONGEST_WAIT))
