"""Requests put in order before they are asked: each distinct one once, alike lengths together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from autointerp.llm.client import Asker
from autointerp.llm.request import Answer, Request


class InOrder:
    """An Asker that asks equal requests once, shortest first, so that the prompts of a batch need little padding.

    The order depends on the requests alone, so an interrupted run forms the same batches again. It reads all requests
    before it asks the first.
    """

    def __init__(self, inner: Asker) -> None:
        self.identity = inner.identity
        """The inner asker's."""
        self.reasks = inner.reasks
        """The inner asker's."""
        self._inner = inner

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Yield (position, answer); equal requests are answered together."""
        places: dict[Request, list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault(request, []).append(place)
        distinct = sorted(places, key=_size)
        for number, answer in self._inner.stream(distinct):
            for place in places[distinct[number]]:
                yield place, answer


def _size(request: Request) -> tuple[int, str, int, int, int]:
    text = request.messages[-1][1]
    return len(text), text, request.sample, request.seed, request.reask
