"""Tokens and what they cost: exact integers, so that a limit can hold strictly."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from autointerp.llm.request import Answer, Request
from autointerp.study_models import Llm

NANO = 1_000_000_000
"""Nano-dollars in a dollar: money is summed as whole nano-dollars."""
BATCH_DISCOUNT = 0.5
"""What the batch interfaces ask of the normal price."""
_CACHE_WRITE = 1.25
"""What a prompt token costs that is written to the cache, in normal ones: Anthropic's price for five minutes."""
_PER_MESSAGE = 16
_PER_REQUEST = 256


@dataclass(frozen=True)
class Tokens:
    """What one attempt used, or may use."""

    input: int = 0
    """Of the prompt, cached ones included."""
    output: int = 0
    cached_input: int = 0
    """Those of `input` that the endpoint had in its own cache."""
    written_input: int = 0
    """Those of `input` that the endpoint wrote to its own cache, and charges for."""

    @property
    def total(self) -> int:
        """Prompt and answer together."""
        return self.input + self.output


def worst_case(request: Request) -> Tokens:
    """The most tokens that a request can use, whatever the tokenizer, all of the prompt written to a cache.

    A token stands for at least one byte of UTF-8, so the bytes of the messages bound their tokens; what a chat
    template adds is bounded by 16 tokens a message and 256 a request.
    """
    written = sum(len(content.encode("utf8", "surrogatepass")) + _PER_MESSAGE for _, content in request.messages)
    return Tokens(written + _PER_REQUEST, request.max_tokens, 0, written + _PER_REQUEST)


def used(answer: Answer) -> Tokens | None:
    """What the endpoint says an answer used; None when it does not say."""
    if answer.input_tokens is None or answer.output_tokens is None:
        return None
    cached = min(answer.cached_input_tokens or 0, answer.input_tokens)
    written = min(answer.written_input_tokens, answer.input_tokens - cached)
    return Tokens(answer.input_tokens, answer.output_tokens, cached, written)


def price(llm: Llm, tokens: Tokens, discount: float = 1.0) -> int | None:
    """Nano-dollars, rounded up; None where a price is unknown."""
    if llm.input_usd is None or llm.output_usd is None:
        return None
    cached_usd = llm.input_usd if llm.cached_input_usd is None else llm.cached_input_usd
    fresh = tokens.input - tokens.cached_input + (_CACHE_WRITE - 1) * tokens.written_input
    micro = fresh * llm.input_usd + tokens.cached_input * cached_usd + tokens.output * llm.output_usd
    return ceil(round(micro * discount * (NANO // 1_000_000), 6))


def dollars(nano: int | None) -> float | None:
    """Nano-dollars as dollars; unknown stays unknown."""
    return None if nano is None else nano / NANO
