"""An Asker that asks nobody and counts: how many requests, how many tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.encode import encode
from autointerp.llm.ledger import Ledger
from autointerp.llm.request import Answer, Failure, Request, key

COUNTED = "counted, not asked"
"""Reason of every answer."""
_EXACT = 1000
_EVERY = 20
_PER_MESSAGE = 4
_START = 3


def token_counter(tokenizer: Any) -> Callable[[Request], int]:
    """Counts the tokens of a prompt: through the model's chat template, or 4 a message where it has none."""

    def count(request: Request) -> int:
        try:
            return len(encode(request, tokenizer))
        except BadInput:
            texts = tokenizer([content for _, content in request.messages], add_special_tokens=False)["input_ids"]
            return sum(len(ids) + _PER_MESSAGE for ids in texts) + _START

    return count


@dataclass
class Tally:
    """What was counted."""

    requests: int = 0
    """Distinct ones."""
    known: int = 0
    """Those of them that the ledger holds: they cost nothing."""
    characters: int = 0
    """Of the prompts that the ledger does not hold."""
    output_tokens: int = 0
    """Upper bound for the same."""
    sampled_characters: int = 0
    sampled_tokens: int = 0
    seen: set[str] = field(default_factory=set)

    @property
    def input_tokens(self) -> int:
        """Prompt tokens; from every 20th prompt where there are more than a thousand."""
        if not self.sampled_characters:
            return 0
        return round(self.sampled_tokens * self.characters / self.sampled_characters)


class CountingAsker:
    """Every answer is a Failure; what was asked is in `tally`."""

    def __init__(self, ledger: Ledger | None, identity: str, count: Callable[[Request], int], tally: Tally) -> None:
        self.identity = identity
        """Of the provider that would be asked."""
        self.reasks = 0
        """Re-asks can't be foreseen."""
        self.unanswered = 0
        """None is: nothing was asked."""
        self._ledger, self._count, self._tally = ledger, count, tally

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Count each distinct request once."""
        for place, request in enumerate(requests):
            name = key(request, self.identity)
            if name not in self._tally.seen:
                self._tally.seen.add(name)
                self._add(request, name)
            yield place, Failure(COUNTED)

    def _add(self, request: Request, name: str) -> None:
        tally = self._tally
        tally.requests += 1
        if self._ledger is not None and self._ledger.find(name) is not None:
            tally.known += 1
            return
        characters = sum(len(content) for _, content in request.messages)
        tally.characters += characters
        tally.output_tokens += request.max_tokens
        asked = tally.requests - tally.known
        if asked <= _EXACT or asked % _EVERY == 0:
            tally.sampled_characters += characters
            tally.sampled_tokens += self._count(request)
