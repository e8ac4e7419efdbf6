"""Requests put in order before they are asked: each distinct one once, alike lengths together."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.llm.client import Asker
from autointerp.llm.request import Answer, Request
from autointerp.progress import Bar


class InOrder:
    """An Asker that asks equal requests once, shortest first, so that the prompts of a batch need little padding.

    The order depends on the requests alone, so an interrupted run forms the same batches again.
    """

    def __init__(self, inner: Asker) -> None:
        self.identity = inner.identity
        """The inner asker's."""
        self._inner = inner

    def ask_all(self, requests: Sequence[Request], progress: Bar) -> list[Answer]:
        """Answers in the order of the requests."""
        distinct = sorted(dict.fromkeys(requests), key=_size)
        answers = dict(zip(distinct, self._inner.ask_all(distinct, progress), strict=True))
        progress.advance(len(requests) - len(distinct))
        return [answers[request] for request in requests]


def _size(request: Request) -> tuple[int, str, int, int]:
    text = request.messages[-1][1]
    return len(text), text, request.sample, request.seed
