"""What is asked of a language model, and what comes back. A failed answer is a value with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.artifacts import hash_value, seed_of

COMPLETION = ""
"""The role of the one message of a completion: a text to be continued."""


@dataclass(frozen=True)
class Request:
    """One thing to ask. Two requests with equal fields are the same request, and are answered once."""

    messages: tuple[tuple[str, str], ...]
    """(role, content) pairs of a chat, or one pair whose role is '': a text to be continued."""
    model: str
    """The name that the study gives the model."""
    max_tokens: int
    """Tokens that the answer may have; an answer that needs more is a failure, never a shorter answer."""
    temperature: float
    """0: the most likely token at every step."""
    seed: int
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    sample: int = 0
    """Tells repeated draws of the same prompt apart."""

    @property
    def is_completion(self) -> bool:
        """Whether this is one text to be continued, and not a chat."""
        return len(self.messages) == 1 and self.messages[0][0] == COMPLETION

    @property
    def draw_seed(self) -> int:
        """63-bit seed of this draw alone: `seed` and `sample` together."""
        return seed_of(self.seed, self.sample)


@dataclass(frozen=True)
class Response:
    """A whole answer: the model ended it, or a stop text did."""

    text: str
    """Without the stop text."""
    input_tokens: int | None
    """None when the endpoint did not say."""
    output_tokens: int | None
    cached: bool = False
    """Served by the ledger; nothing was asked."""


@dataclass(frozen=True)
class Failure:
    """No usable answer, and why."""

    reason: str
    """In words that group well: no ids, no texts."""
    finish: str = ""
    """`length` (cut at max_tokens), `refusal`, `too-long` (the prompt): the model's last word on this request, kept in
    the ledger. '': nothing came back (an endpoint that is down); it is not kept, and a later run asks again."""
    partial: str = ""
    """What came back, for the record only."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: bool = False


Answer = Response | Failure
"""What a request comes to."""


def canonical(request: Request) -> Mapping[str, Any]:
    """The request as JSON-like data: everything that its answer depends on, and no secret."""
    return asdict(request)


def key(request: Request, endpoint: str) -> str:
    """The ledger's key: SHA-256 (hex) of the whole request and the endpoint's identity."""
    return hash_value({"endpoint": endpoint, "request": canonical(request)})
