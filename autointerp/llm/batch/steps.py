"""Tries a step again where another try may mend it, as for single requests; how long to wait between two looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.online.retrying import last_reason, wait

T = TypeVar("T")


class Steps:
    """Every HTTP step of a batch goes through here; only Transient is tried again."""

    def __init__(self, attempts: int, endpoint: str, sleep: Callable[[float], None]) -> None:
        self._attempts, self._endpoint, self._sleep = attempts, endpoint, sleep

    def __call__(self, step: Callable[[], T]) -> T:
        """Do it, up to `attempts` times. BadInput after the last: what was handed in is safe with the endpoint."""
        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(self._attempts),
            wait=wait,
            sleep=self._sleep,
        )
        try:
            return retrying(step)
        except RetryError as error:
            raise BadInput(
                f"{self._endpoint}: {last_reason(error)} ({self._attempts} tries)",
                "check it; batches handed in go on there, and the same command takes them up again",
            ) from None


_FIRST, _GROWTH, _LONGEST = 5.0, 1.5, 60.0
_SAY_EVERY = 60.0


@dataclass(frozen=True)
class Pause:
    """A wait."""

    seconds: float
    due: bool
    """Whether a line about the wait is due: at once, and then once a minute."""


def pauses() -> Iterator[Pause]:
    """Growing waits, from 5 seconds to a minute, for ever."""
    seconds, unsaid = _FIRST, _SAY_EVERY
    while True:
        due = unsaid >= _SAY_EVERY
        yield Pause(seconds, due)
        unsaid = seconds if due else unsaid + seconds
        seconds = min(seconds * _GROWTH, _LONGEST)
