"""Cuts the requests of a stage into batches that the endpoint takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from autointerp.llm.batch.interface import BatchApi, Limits
from autointerp.llm.request import Request

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
