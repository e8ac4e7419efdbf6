"""What a batch interface can do: hand in, tell, give back; and what a line of its results comes to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from autointerp.llm.batch.store import Submission
from autointerp.llm.request import Answer, Failure, Request


@dataclass(frozen=True)
class Unanswered:
    """The batch is done with a request, and has no answer to it."""

    reason: str
    """In words that group well."""
    again: bool
    """Whether another batch may do better: False for a request that the endpoint refuses."""
    billed: bool
    """Whether it may have been billed."""
    says: str = ""
    """The endpoint's own words, for the user to read once; '' when it has none."""
    prompt: Failure | None = None
    """What it comes to where other requests of the same form were answered: then it is the prompt that was refused."""


Outcome = Answer | Unanswered
"""An answer, or why there is none."""

FORM = "the endpoint refuses the request's form"
"""Reason of a request that goes into the next batch in another form."""
FAILED = "the batch interface failed on the request"
"""Reason without any better one."""


@dataclass(frozen=True)
class Limits:
    """What one batch may hold at most."""

    requests: int
    size: int
    """Bytes of all requests together."""


@dataclass(frozen=True)
class State:
    """How far a batch is."""

    ended: bool
    """Nothing more will come."""
    done: int
    """Requests that are done with, in whatever way."""
    total: int
    results: tuple[str, ...] = ()
    """Paths of the result files; known once it has ended."""
    refusal: str = ""
    """The endpoint's words for not starting it at all, without secrets; '' when it started."""
    crowded: bool = False
    """It was not started because too much is under way: a smaller one, or a later one, may be."""
    broken_off: bool = False
    """It ended before its end: what its results leave out was never asked."""


@runtime_checkable
class BatchApi(Protocol):
    """A provider's batch interface. Every method that sends raises Transient and Declined."""

    identity: str
    """The same as the provider's that answers at once: either may serve from the ledger what the other asked."""
    limits: Limits
    """As documented."""

    def route(self, request: Request) -> str:
        """What kind of request it is; a batch holds one kind. BadInput for one that the endpoint can't be asked."""
        ...

    def line(self, name: str, request: Request) -> Mapping[str, Any]:
        """The request as the batch holds it, under its name (the ledger's key)."""
        ...

    def newest(self) -> str:
        """Id of the newest batch; '' when there is none."""
        ...

    def create(self, submission: Submission, lines: Sequence[Mapping[str, Any]]) -> str:
        """Make the batch; its id."""
        ...

    def candidates(self, submission: Submission, count: int) -> Sequence[str]:
        """Ids of batches of `count` requests that may have come of a submission whose fate is unknown."""
        ...

    def holds(self, remote: str, names: Collection[str]) -> bool | None:
        """Whether a candidate holds these requests; None when that shows only once it has ended."""
        ...

    def state(self, remote: str) -> State:
        """How far a batch is."""
        ...

    def download(self, path: str) -> bytes:
        """A result file, whole: JSON lines with a `custom_id` each, in any order."""
        ...

    def read(self, line: Mapping[str, Any], request: Request) -> Outcome:
        """What a line of a result file says. Nothing about its form is taken for granted."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
