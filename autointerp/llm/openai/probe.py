"""What an OpenAI-compatible endpoint can do, found out by asking for everything and leaving out what it refuses."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from autointerp.llm.answers.json import answer_object
from autointerp.llm.answers.thoughts import without_thoughts
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import EndpointRefusal
from autointerp.llm.openai.answers import read_answer, token_count
from autointerp.llm.openai.dialect import Dialect, lacks_logprobs, named
from autointerp.llm.openai.logprobs import Piece, read_pieces
from autointerp.llm.request import COMPLETION, Answer, Failure, Request, Response

_UNNAMED = ("response_format", "seed", "temperature")
"""What is left out, one by one, where a refusal does not say what it is about; log-probabilities before them."""
# A model that keeps to the JSON mode answers this in JSON all the same: a mode that is only accepted shows itself.
_PLAIN = "Name the capital of France in one plain sentence, not as JSON."
_ANSWER = 32
_MEMBER = "word"
_SCHEMA = answer_object({_MEMBER: {"type": "string"}})
"""Its member is one that no model names by itself: what is only accepted shows itself, too."""
_TOKEN_ID = re.compile(r"token_id:\d+")
"""What vLLM writes in the place of a token's text where it was started so."""
_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx", "n_ctx_train")


@runtime_checkable
class Endpoint(Protocol):
    """Where bodies are sent to, and errors come back as values."""

    identity: str
    """Names the endpoint, without secrets."""

    async def post(self, path: str, body: Mapping[str, Any]) -> object:
        """The body that came back, or EndpointRefusal. Raises Transient."""
        ...

    async def get(self, path: str) -> object:
        """The body that came back, or EndpointRefusal. Raises Transient."""
        ...


@dataclass(frozen=True)
class Found:
    """What a probe found."""

    capabilities: Capabilities
    answers: tuple[Answer, ...]
    """What the endpoint answered: to be paid for."""
    refused: EndpointRefusal | None = None
    """Why it can't be asked at all; None when it can."""
    lost: bool = False
    """A call that may have been billed was not answered."""


@dataclass(frozen=True)
class _Chat:
    answer: Answer
    request: Request
    dialect: Dialect
    seconds: float
    alternatives: int
    token_ids: bool
    """Whether its log-probabilities name tokens by number."""


async def probe(endpoint: Endpoint, model: str, room: int = 0) -> Found:
    """Ask for the list of models, for a chat with everything, and for a prompt's log-probabilities.

    `room`: tokens of the chat's answer beside the few that it needs, for a model that thinks first. Raises Transient
    when the endpoint does not answer the chat.
    """
    found = Capabilities(endpoint.identity, model, context=await _context(endpoint, model))
    chat = await _chat(endpoint, model, _ANSWER + room)
    if isinstance(chat, EndpointRefusal) and chat.status not in (400, 404, 405, 422):
        return Found(found, (), chat)
    dialect = Dialect() if isinstance(chat, EndpointRefusal) else chat.dialect
    prompt, answers, lost = await _prompt(endpoint, model, dialect)
    found = replace(found, prompt_logprobs=prompt)
    if isinstance(chat, EndpointRefusal):  # a model for completions only
        return Found(found, answers, None if answers else chat, lost)
    tokens = chat.answer.output_tokens
    found = replace(
        found,
        top_logprobs=chat.alternatives,
        json_object="response_format" not in dialect.dropped and _is_json(chat.answer),
        json_schema=dialect.json_form != "json_object" and _has_member(chat.answer),
        seed="seed" not in dialect.dropped,
        cut=_is_cut(chat.answer),
        token_ids=chat.token_ids,
        dialect=dialect.remembered(),
        latency=chat.seconds,
        tokens_per_second=tokens / chat.seconds if tokens else None,
    )
    return Found(found, (chat.answer, *answers), lost=lost)


async def _chat(endpoint: Endpoint, model: str, tokens: int) -> _Chat | EndpointRefusal:
    request = Request((("user", _PLAIN),), model, tokens, 0.0, 0, top_logprobs=20, json_object=True, schema=_SCHEMA)
    dialect = Dialect()
    while True:
        body = dialect.body(request, model)
        start = time.perf_counter()
        answer = await endpoint.post("/chat/completions", body)
        if not isinstance(answer, EndpointRefusal):
            seconds = time.perf_counter() - start
            read = read_answer(answer, replace(request, top_logprobs=0))
            pieces = _pieces(answer)
            ids = bool(pieces) and all(_TOKEN_ID.fullmatch(piece.token.text) for piece in pieces)
            alternatives = 0 if ids else max((len(piece.token.top) for piece in pieces), default=0)
            return _Chat(read, request, dialect, seconds, alternatives, ids)
        simpler = _simpler(answer, request, dialect, body)
        if simpler is None:
            return answer
        request, dialect = simpler


def _simpler(
    refused: EndpointRefusal, request: Request, dialect: Dialect, body: Mapping[str, Any]
) -> tuple[Request, Dialect] | None:
    """The request with less in it; None when nothing is left to leave out."""
    if not refused.about_form:
        return None
    other = dialect.without_what_is_refused(refused, body)
    if other is not None:
        return request, other
    unnamed = not named(refused, body)
    if request.top_logprobs and (unnamed or lacks_logprobs(refused, body)):
        return replace(request, top_logprobs=0), dialect
    left = [name for name in _UNNAMED if name in body] if unnamed else []
    return (request, replace(dialect, dropped=dialect.dropped | {left[0]})) if left else None


def _pieces(body: object) -> list[Piece]:
    """The tokens of a chat's answer with their log-probabilities; none when these are absent."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return (read_pieces(choice.get("logprobs")) if isinstance(choice, dict) else None) or []


def _is_cut(answer: Answer) -> bool:
    """Whether it ended, at the limit of its tokens, before there was anything but thought."""
    return isinstance(answer, Failure) and answer.finish == "length" and not without_thoughts(answer.partial)


def _is_json(answer: Answer) -> bool:
    """Whether it is a JSON object, or the beginning of one that was cut."""
    if isinstance(answer, Failure):
        return without_thoughts(answer.partial).startswith("{")
    try:
        return isinstance(json.loads(without_thoughts(answer.text)), dict)
    except (ValueError, RecursionError):
        return False


def _has_member(answer: Answer) -> bool:
    """Whether it follows the schema that it was asked to follow, at least at its beginning."""
    text = without_thoughts(answer.partial if isinstance(answer, Failure) else answer.text)
    return re.match(rf'\s*\{{\s*"{_MEMBER}"\s*:\s*"', text) is not None


async def _prompt(endpoint: Endpoint, model: str, dialect: Dialect) -> tuple[int, tuple[Answer, ...], bool]:
    """Alternatives per token of a prompt, what was answered, and whether a call that may be billed was not.

    A field that is taken and ignored counts as 0.
    """
    request = Request(((COMPLETION, "One two three four five six"),), model, 1, 0.0, 0, prompt_logprobs=20)
    answers: list[Answer] = []
    form: Dialect | None = dialect
    while form is not None:
        body = form.body(request, model)
        try:
            answer = await endpoint.post("/completions", body)
            if isinstance(answer, EndpointRefusal):
                if answer.may_pass:
                    return 0, tuple(answers), True
                form = form.without_what_is_refused(answer, body) if answer.about_form else None
                continue
            answers.append(read_answer(answer, request, echo="echo" in body))
        except Transient as fault:  # the chat was answered, this path is not
            return 0, tuple(answers), fault.billed
        if isinstance(answers[-1], Response):
            return max(len(token.top) for token in answers[-1].prompt_logprobs), tuple(answers), False
        form = replace(form, prompt_form="echo") if form.prompt_form != "echo" else None
    return 0, tuple(answers), False


async def _context(endpoint: Endpoint, model: str) -> int | None:
    """The context length by the list of models; None where it is not told."""
    try:
        body = await endpoint.get("/models")
    except Transient:
        return None
    listed = body.get("data") if isinstance(body, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    named_so = [entry for entry in entries if entry.get("id") == model]
    if not named_so and len(entries) > 1:
        return None
    for entry in named_so or entries:
        meta = entry.get("meta")
        for fields in (entry, meta if isinstance(meta, dict) else {}):
            for name in _CONTEXT_FIELDS:
                if tokens := token_count(fields.get(name)):
                    return tokens
    return None
