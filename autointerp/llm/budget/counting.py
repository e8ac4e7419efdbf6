"""An Asker that asks nobody: recorded answers come from the ledger, all else is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.local.encode import encode
from autointerp.llm.request import Answer, Failure, Request, key, with_room
from autointerp.study_models import Llm

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
    """What the ledger does not hold is a Failure with reason COUNTED, and counted in `tally`."""

    def __init__(self, ledger: Ledger, identity: str, llm: Llm, count: Callable[[Request], int], tally: Tally) -> None:
        self.identity = identity
        """Of the provider that would be asked."""
        self.reasks = llm.reasks
        """As in the study: recorded re-asks are known. Those to come can't be foreseen."""
        self.unanswered = 0
        """None is: nothing was asked."""
        self._ledger, self._count, self._tally = ledger, count, tally
        self._room = llm.thinking_tokens

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Count each distinct request once."""
        for position, request in enumerate(with_room(requests, self._room)):
            name = key(request, self.identity)
            recorded = self._ledger.find(name)
            if name not in self._tally.seen:
                self._tally.seen.add(name)
                self._tally.requests += 1
                if recorded is None:
                    self._add(request)
                else:
                    self._tally.known += 1
            yield position, Failure(COUNTED) if recorded is None else recorded

    def _add(self, request: Request) -> None:
        tally = self._tally
        characters = sum(len(content) for _, content in request.messages)
        tally.characters += characters
        tally.output_tokens += request.max_tokens
        asked = tally.requests - tally.known
        if asked <= _EXACT or asked % _EVERY == 0:
            tally.sampled_characters += characters
            tally.sampled_tokens += self._count(request)
