"""Asks a whole stage at once through a batch interface: half the price, within a day, across processes.

Each distinct request of the stage waits once, whoever asked for it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from autointerp.errors import BudgetReached
from autointerp.llm.batch.collecting import Collector
from autointerp.llm.batch.handing_in import HandingIn
from autointerp.llm.batch.interface import BatchApi, Limits, Outcome, State, Unanswered
from autointerp.llm.batch.steps import Steps, pauses
from autointerp.llm.batch.store import BatchStore, Submission
from autointerp.llm.budget.purse import Purse
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.request import Answer, Failure, Request, key
from autointerp.progress import say


class Waiting:
    """Requests by name (the ledger's key), and the places in the stage that each is the answer for."""

    def __init__(self, attempts: int) -> None:
        """`attempts`: batches that a request may go into."""
        self.requests: dict[str, Request] = {}
        """What still waits, in the order it was asked for."""
        self._attempts = attempts
        self._places: dict[str, list[int]] = {}
        self._batches: Counter[str] = Counter()

    def add(self, name: str, place: int, request: Request) -> None:
        """One more place that waits for this request."""
        self.requests.setdefault(name, request)
        self._places.setdefault(name, []).append(place)

    def answered(self, name: str, outcome: Outcome) -> Iterator[tuple[int, Answer]]:
        """Yield (place, answer) for all places; nothing while another batch may still bring an answer."""
        if name not in self.requests:
            return
        if isinstance(outcome, Unanswered):
            self._batches[name] += 1
            if outcome.again and self._batches[name] < self._attempts:
                return
            tries = f" ({self._attempts} batches)" if outcome.again else ""
            outcome = Failure(f"{outcome.reason}{tries}")
        del self.requests[name]
        first, *others = self._places.pop(name)
        yield first, outcome
        for place in others:
            yield (
                place,
                outcome if isinstance(outcome, Failure) and outcome.unanswered else replace(outcome, cached=True),
            )


_QUEUE = 60.0
"""Seconds to wait for other batches to make room."""


class BatchAsker:
    """An Asker. What the ledger holds is served, the rest goes into batches, and into the ledger before it is used.

    Batches that an earlier process left open are taken up first: what one of them holds is never handed in again. A
    request that a batch did not get done (a rate limit, a fault, the end of its day) goes into the next, up to
    `attempts` batches; after that, and when the endpoint refuses it, it is a Failure.
    """

    def __init__(
        self,
        api: BatchApi,
        ledger: Ledger,
        store: BatchStore,
        purse: Purse,
        *,
        attempts: int,
        reasks: int,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`limits`: of one batch; None: as the endpoint documents them. `attempts` also bounds each HTTP step."""
        self.identity = api.identity
        """Names the endpoint."""
        self.reasks = reasks
        """Further draws of an answer that can't be read, all of them in one more batch."""
        self._api, self._ledger, self._store = api, ledger, store
        self._attempts, self._sleep = attempts, sleep
        self._steps = Steps(attempts, api.identity, sleep)
        self._handing_in = HandingIn(api, store, purse, self._steps, limits or api.limits, sleep)
        self._collector = Collector(api, store, ledger, purse, self._steps)
        self._said: set[str] = set()

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield (position, answer): first what the ledger holds, then each batch's answers once it has ended.

        All requests are read before the first is sent. Raises BadInput, and BudgetReached when a request did not fit
        the budget, after everything that did has been yielded. Batches then under way go on at the endpoint.
        """
        waiting = Waiting(self._attempts)
        for position, request in enumerate(requests):
            name = key(request, self.identity)
            stored = self._ledger.find(name)
            if stored is not None:
                yield position, stored
            else:
                waiting.add(name, position, request)
        for submission in self._store.open(self.identity):
            self._collector.close_books(submission)
        if waiting.requests:
            under_way: list[Submission] = []
            try:
                yield from self._ask(waiting, under_way)
            finally:
                self._take_leave(under_way)

    def _ask(self, waiting: Waiting, under_way: list[Submission]) -> Iterator[tuple[int, Answer]]:
        stopped: BudgetReached | None = None
        under_way += self._taken_up(waiting)
        while waiting.requests:
            yield from self._collect_all(under_way, waiting)
            if stopped is not None:
                raise stopped
            try:
                for submission in self._handing_in.hand_in(dict(waiting.requests)):
                    under_way.append(submission)
            except BudgetReached as reached:
                stopped = reached

    def _taken_up(self, waiting: Waiting) -> Iterator[Submission]:
        """Yield open batches that hold something of this stage; of the others, collect what is ready."""
        for submission in self._handing_in.take_up():
            if self._store.items(submission.uuid).keys() & waiting.requests.keys():
                say("  taking up a batch that was handed in earlier")
                yield submission
            elif (state := self._state(submission)).ended:
                for _, outcome in self._collector.collect(submission, state):
                    self._note(outcome)

    def _state(self, submission: Submission) -> State:
        return self._steps(partial(self._api.state, submission.remote))

    def _collect_all(self, under_way: list[Submission], waiting: Waiting) -> Iterator[tuple[int, Answer]]:
        """Wait until every batch has ended; answers come in batch by batch."""
        waits = pauses()
        while under_way:
            states = [(submission, self._state(submission)) for submission in under_way]
            for submission, state in states:
                if state.ended:
                    yield from self._collect(submission, state, waiting)
                    under_way.remove(submission)
            if under_way:
                pause = next(waits)
                if pause.due:
                    done, total = sum(state.done for _, state in states), sum(state.total for _, state in states)
                    say(f"  waiting for batches: {done:,} of {total:,} requests done")
                self._sleep(pause.seconds)

    def _collect(self, submission: Submission, state: State, waiting: Waiting) -> Iterator[tuple[int, Answer]]:
        count = 0
        for name, outcome in self._collector.collect(submission, state):
            count += 1
            self._note(outcome)
            yield from waiting.answered(name, outcome)
        if state.crowded:
            self._handing_in.less(count)
            self._sleep(_QUEUE)

    def _note(self, outcome: Outcome) -> None:
        if isinstance(outcome, Unanswered) and outcome.says and outcome.says not in self._said:
            self._said.add(outcome.says)
            say(f"  {outcome.says} (said once)")

    def _take_leave(self, under_way: list[Submission]) -> None:
        """However it ends: say what goes on."""
        still = {submission.uuid for submission in self._store.open(self.identity)}
        left = sum(submission.uuid in still for submission in under_way)
        if left:
            say(f"  {left} batch{'es' * (left > 1)} handed in, not collected yet: the same command takes up from there")
