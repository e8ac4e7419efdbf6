"""Cuts the requests of a stage into batches and hands them in, written down before and after: no death loses one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from autointerp.errors import BudgetReached
from autointerp.llm.batch.interface import BatchApi, Limits
from autointerp.llm.batch.steps import Steps, pauses
from autointerp.llm.batch.store import BatchStore, HeldRequest, Submission
from autointerp.llm.batch.wire import Declined
from autointerp.llm.budget.purse import Purse
from autointerp.llm.client import Transient
from autointerp.llm.request import Request
from autointerp.progress import say

_SEPARATOR = 2
"""Bytes between two requests, at most."""


@dataclass
class Part:
    """Requests that go into one batch."""

    route: str
    requests: dict[str, Request] = field(default_factory=dict)
    """By name, in the order given."""
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    """As the batch holds them, in the same order."""
    size: int = 0
    """Bytes."""

    def cut(self, count: int) -> Part:
        """The first `count` requests."""
        return Part(self.route, dict(list(self.requests.items())[:count]), self.lines[:count], self.size)


def parts(api: BatchApi, requests: Mapping[str, Request], limits: Limits) -> Iterator[Part]:
    """Yield parts within the limits, each of one kind of request, in the order given within a kind.

    A request that is larger than a whole batch may be is a part by itself: the endpoint says what it thinks of it.
    """
    filling: dict[str, Part] = {}
    for name, request in requests.items():
        route, line = api.route(request), api.line(name, request)
        size = len(json.dumps(line)) + _SEPARATOR
        part = filling.setdefault(route, Part(route))
        if part.requests and (len(part.requests) >= limits.requests or part.size + size > limits.size):
            yield part
            part = filling[route] = Part(route)
        part.requests[name] = request
        part.lines.append(line)
        part.size += size
    yield from (part for part in filling.values() if part.requests)


class HandingIn:
    """Hands requests in as batches, each paid for at its worst case first."""

    def __init__(
        self,
        api: BatchApi,
        store: BatchStore,
        purse: Purse,
        steps: Steps,
        limits: Limits,
        sleep: Callable[[float], None],
    ) -> None:
        self._api, self._store, self._purse, self._steps = api, store, purse, steps
        self._limits, self._sleep = limits, sleep

    def take_up(self) -> Sequence[Submission]:
        """The endpoint's open batches, oldest first. Those whose fate is unknown are looked for, or let go."""
        return [known for found in self._store.open(self._api.identity) if (known := self._known(found)) is not None]

    def _known(self, submission: Submission) -> Submission | None:
        if submission.remote:
            return submission
        items = self._store.items(submission.uuid)
        remote = self._find(submission, items.keys())
        if remote is not None:
            self._store.name(submission.uuid, remote)
            return replace(submission, remote=remote)
        say(f"  a batch of {len(items):,} requests was about to be handed in and was not: they are handed in again")
        self._let_go(submission, items)
        return None

    def hand_in(self, requests: Mapping[str, Request]) -> Iterator[Submission]:
        """Yield a batch for each part of the requests, once it is handed in.

        Raises BudgetReached after the last that the budget allows, and Declined for what the endpoint does not take.
        """
        for part in parts(self._api, requests, self._limits):
            after = self._steps(self._api.newest)
            items, stopped = self._reserve(part)
            if items:
                yield self._make(part.cut(len(items)), items, after)
            if stopped is not None:
                raise stopped

    def _reserve(self, part: Part) -> tuple[dict[str, HeldRequest], BudgetReached | None]:
        """Pay for as many requests as the budget allows, in their order."""
        items: dict[str, HeldRequest] = {}
        for name, request in part.requests.items():
            ticket = self._purse.reserve(request)
            if ticket is None:
                return items, self._purse.reached(request)
            items[name] = HeldRequest(request, ticket)
        return items, None

    def _make(self, part: Part, items: Mapping[str, HeldRequest], after: str) -> Submission:
        submission = Submission(uuid4().hex, self._api.identity, part.route, after)
        self._store.intend(submission, items)
        lost = False

        def create() -> str:
            nonlocal lost
            # An attempt whose answer got lost may have made the batch all the same.
            found = self._find(submission, items.keys()) if lost else None
            if found is not None:
                return found
            lost = False
            try:
                return self._api.create(submission, part.lines)
            except Transient as fault:
                lost = fault.billed
                raise

        try:
            remote = self._steps(create)
        except Declined:
            if not lost:
                self._let_go(submission, items)
            raise
        self._store.name(submission.uuid, remote)
        say(f"  a batch of {len(items):,} requests is handed in")
        return replace(submission, remote=remote)

    def _find(self, submission: Submission, names: Collection[str]) -> str | None:
        """The batch that came of a submission whose answer got lost; None when none did."""
        for remote in self._steps(lambda: self._api.candidates(submission, len(names))):
            if self._holds(remote, names):
                return remote
        return None

    def _holds(self, remote: str, names: Collection[str]) -> bool:
        waits = pauses()
        while (found := self._steps(lambda: self._api.holds(remote, names))) is None:
            pause = next(waits)
            if pause.due:
                say("  a batch that may be this run's is not done: waiting for it, so that nothing is paid for twice")
            self._sleep(pause.seconds)
        return found

    def _let_go(self, submission: Submission, items: Mapping[str, HeldRequest]) -> None:
        """The batch was never made: nothing is owed for it."""
        for held in items.values():
            self._purse.release(held.ticket)
        self._store.forget(submission.uuid)

    def less(self, count: int) -> None:
        """Put at most half of `count` requests into a batch from now on: the endpoint takes no more at a time."""
        self._limits = replace(self._limits, requests=max(1, min(self._limits.requests, count) // 2))
