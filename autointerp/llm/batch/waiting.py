"""The requests of a stage that still wait for an answer, each distinct one once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from autointerp.llm.batch.outcome import Outcome, Unanswered
from autointerp.llm.request import Answer, Failure, Request


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

    def settle(self, name: str, outcome: Outcome) -> Iterator[tuple[int, Answer]]:
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
