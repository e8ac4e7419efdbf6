"""What is asked of a language model, and what comes back. A failed answer is a value with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from autointerp.artifacts import canonical_json, seed_of
from autointerp.records import Unscored

COMPLETION = ""
"""The role of the one message of a completion: a text to be continued."""
_WARM = 0.3
"""Least temperature of a re-ask: the most likely answer has just been seen to be unreadable."""


@dataclass(frozen=True)
class Request:
    """One thing to ask. Two requests with equal fields are the same request, and are answered once.

    Of a chat, everything before the last message is meant to be shared by many requests (instructions, worked
    examples): providers may cache it.
    """

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
    top_logprobs: int = 0
    """For each token of the answer, the log-probabilities of this many most likely tokens; 0: none are needed."""
    prompt_logprobs: int = 0
    """The same for each token of the prompt (completions only); 0: none are needed. Where they are, what is written
    after the prompt does not matter, and an answer that is cut is whole."""
    json_object: bool = False
    """The answer is meant to be a JSON object; an endpoint with a JSON mode is asked to enforce it."""
    reask: int = 0
    """Number of the re-ask, after answers that could not be read; 0: the first draw."""
    schema: str = ""
    """The JSON schema (as text) of an answer that is meant to be a JSON object; a model in the process is held to it,
    and an endpoint with structured outputs is asked to enforce it."""
    beginning: bool = False
    """The answer's beginning is all that is read: one that is cut is whole."""

    @property
    def is_completion(self) -> bool:
        """Whether this is one text to be continued, and not a chat."""
        return len(self.messages) == 1 and self.messages[0][0] == COMPLETION

    @property
    def whole_when_cut(self) -> bool:
        """Whether an answer that reaches `max_tokens` is no failure."""
        return bool(self.prompt_logprobs) or self.beginning

    @property
    def draw_seed(self) -> int:
        """63-bit seed of this draw alone: `seed`, `sample` and `reask` together."""
        return seed_of(self.seed, self.sample, *([self.reask] if self.reask else []))

    def again(self) -> Request:
        """The re-ask: the same question, another draw, at a temperature of at least 0.3."""
        return replace(self, reask=self.reask + 1, temperature=max(self.temperature, _WARM))


@dataclass(frozen=True)
class TokenLogprob:
    """One token of an answer or of a prompt, and what the model thought of its place."""

    text: str
    logprob: float | None
    """In nats; None for the first token of a prompt, which nothing comes before."""
    top: tuple[tuple[str, float], ...] = ()
    """The most likely tokens at this place, likeliest first, as (text, log-probability)."""


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
    cached_input_tokens: int | None = None
    """Those of `input_tokens` that the endpoint took from its own cache; None when it did not say."""
    written_input_tokens: int = 0
    """Those of `input_tokens` that the endpoint wrote to its own cache, where it charges for that."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token of the answer, when the request asked for them."""
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """One per token of the prompt, when the request asked for them."""


@dataclass(frozen=True)
class Failure:
    """No usable answer, and why."""

    reason: str
    """In words that group well: no ids, no texts."""
    finish: str = ""
    """The model's last word on this request, kept in the ledger: `length` (cut at max_tokens), `refusal`, `too-long`
    (the prompt), `no-logprobs` (promised, and not there), `unreadable` (by the endpoint's own word), `no-text`. '':
    nothing came back (an endpoint that is down); it is not kept, and a later run asks again."""
    partial: str = ""
    """What came back, for the record only."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: bool = False
    cached_input_tokens: int | None = None
    written_input_tokens: int = 0

    @property
    def unanswered(self) -> bool:
        """Nothing came back: a later run should ask again."""
        return not self.finish


Answer = Response | Failure
"""What a request comes to."""


@dataclass(frozen=True)
class Unreadable:
    """An answer in a form that can't be read; another draw may be better."""

    reason: str
    """In words that group well."""


def without_system(messages: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The messages of a chat for a model that knows no system role: its text begins the first user turn."""
    system = "\n\n".join(content for role, content in messages if role == "system")
    rest = [message for message in messages if message[0] != "system"]
    first = next((place for place, (role, _) in enumerate(rest) if role == "user"), None)
    if system and first is not None:
        rest[first] = ("user", f"{system}\n\n{rest[first][1]}")
    return tuple(rest)


def with_room(requests: Iterable[Request], tokens: int) -> Iterator[Request]:
    """The requests, each with so many more tokens for its answer."""
    for request in requests:
        yield replace(request, max_tokens=request.max_tokens + tokens) if tokens else request


T = TypeVar("T")


@dataclass(frozen=True)
class Question(Generic[T]):
    """A request, and how its answer is read."""

    request: Request
    read: Callable[[Response], T | Unscored | Unreadable]
    """The value; Unscored for an answer that is what the model has to say, and no good; Unreadable for one to be
    asked again."""


_FIRST = frozenset({"messages", "model", "max_tokens", "temperature", "seed", "stop", "sample"})
"""Fields that are always part of the key; later ones only where they differ from their default, so that a new field
does not make every stored answer unknown."""
_LATER = {f.name: f.default for f in fields(Request) if f.name not in _FIRST}


def canonical(request: Request) -> Mapping[str, Any]:
    """The request as JSON-like data: everything that its answer depends on, and no secret."""
    data: dict[str, Any] = {name: getattr(request, name) for name in _FIRST}
    for name, default in _LATER.items():
        value = getattr(request, name)
        if value != default:
            data[name] = value
    return data


def request_text(request: Request) -> str:
    """The request as canonical JSON."""
    return canonical_json(canonical(request))


def key_of(text: str, endpoint: str) -> str:
    """`key`, of a request that is canonical JSON already."""
    whole = f'{{"endpoint":{canonical_json(endpoint)},"request":{text}}}'
    return hashlib.sha256(whole.encode()).hexdigest()


def key(request: Request, endpoint: str) -> str:
    """The ledger's key: SHA-256 (hex) of the whole request and the endpoint's identity, as canonical JSON."""
    return key_of(request_text(request), endpoint)
