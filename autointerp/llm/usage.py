"""What was asked and what it cost, per stage and model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autointerp.llm.client import Asker
from autointerp.llm.request import Answer, Request
from autointerp.study import Llm

_MILLION = 1e6


@dataclass
class _Count:
    requests: int = 0
    cached: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0

    def add(self, answer: Answer) -> None:
        self.requests += 1
        if answer.cached:
            self.cached += 1
            return
        self.input_tokens = _sum(self.input_tokens, answer.input_tokens)
        self.output_tokens = _sum(self.output_tokens, answer.output_tokens)


def _sum(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more


class Usage:
    """Counts answers. Tokens and dollars are those spent now: what the ledger served costs nothing."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[Llm, _Count]] = {}

    def add(self, stage: str, llm: Llm, answers: Sequence[Answer]) -> None:
        """Count the answers to one stage's requests."""
        _, count = self._counts.setdefault((stage, llm.model), (llm, _Count()))
        for answer in answers:
            count.add(answer)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of table `usage`: unknown tokens and unknown prices are None, never 0."""
        return [
            {
                "stage": stage,
                "model": model,
                "requests": count.requests,
                "cached": count.cached,
                "input_tokens": count.input_tokens,
                "output_tokens": count.output_tokens,
                "cost_usd": _cost(llm, count),
            }
            for (stage, model), (llm, count) in sorted(self._counts.items(), key=lambda item: item[0])
        ]


def _cost(llm: Llm, count: _Count) -> float | None:
    if llm.input_usd is None or llm.output_usd is None or count.input_tokens is None or count.output_tokens is None:
        return None
    return (count.input_tokens * llm.input_usd + count.output_tokens * llm.output_usd) / _MILLION


class Counted:
    """An Asker that counts."""

    def __init__(self, inner: Asker, usage: Usage, stage: str, llm: Llm) -> None:
        self.identity = inner.identity
        """The inner asker's."""
        self.reasks = inner.reasks
        """The inner asker's."""
        self._inner, self._usage, self._stage, self._llm = inner, usage, stage, llm

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Ask, and count the answers."""
        for place, answer in self._inner.stream(requests):
            self._usage.add(self._stage, self._llm, [answer])
            yield place, answer
