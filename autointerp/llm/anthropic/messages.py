"""Requests and answers in the form of Anthropic's Messages API; used one at a time and in batches."""

from __future__ import annotations

from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.openai.answers import kept_length, token_count
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.quoting import well_formed
from autointerp.study_models import Llm

_WHOLE = frozenset({"end_turn", "stop_sequence"})
_WARMEST = 1.0


def message_body(request: Request, llm: Llm, temperature: bool = True) -> dict[str, Any]:
    """The request's JSON. What precedes the last message is marked to be cached by the endpoint; what the study wants
    sent beside it comes last.

    `temperature`: whether the model takes one. There is no seed, and no JSON mode. Raises BadInput for a completion
    and for a request that needs log-probabilities: the API has neither.
    """
    _refuse_what_is_not_there(request, llm.model)
    system = [_block(content) for role, content in request.messages if role == "system"]
    turns = [(role, _block(content)) for role, content in request.messages if role != "system"]
    shared = [*system, *(block for _, block in turns[:-1])]
    if shared:
        shared[-1]["cache_control"] = {"type": "ephemeral"}
    body: dict[str, Any] = {"model": llm.model, "max_tokens": request.max_tokens}
    body["messages"] = [{"role": role, "content": [block]} for role, block in turns]
    if system:
        body["system"] = system
    if temperature:
        body["temperature"] = min(request.temperature, _WARMEST)
    # The API refuses stop texts of spaces and line breaks: the answer is cut at them when it is read.
    if stops := [stop for stop in request.stop if stop.strip()]:
        body["stop_sequences"] = stops
    if llm.top_p is not None:
        body["top_p"] = llm.top_p
    return {**body, **llm.extra_body}


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _refuse_what_is_not_there(request: Request, model: str) -> None:
    if request.is_completion:
        raise BadInput(f"model '{model}': Anthropic's API takes chats only, not a text to be continued",
                       "use a prompt in the form of a chat")  # fmt: skip
    if request.top_logprobs or request.prompt_logprobs:
        raise BadInput(f"model '{model}': Anthropic's API gives no log-probabilities",
                       "choose a simulator or judge that needs none, or another endpoint")  # fmt: skip


def read_message(body: object, request: Request) -> Answer:
    """Read an answer. Raises Transient when the body is not what it should be.

    `input_tokens` of the answer are all that were read, those from the endpoint's cache included.
    """
    fields = body if isinstance(body, dict) else {}
    content, stop = fields.get("content"), fields.get("stop_reason")
    if not isinstance(content, list) or not isinstance(stop, str):
        raise Transient("no content in the endpoint's answer")
    texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
    text = well_formed("".join(part for part in texts if isinstance(part, str)))
    kept = kept_length(text, request.stop)
    prompt, answer, read, written = _usage(fields.get("usage"))
    caching: dict[str, Any] = {"cached_input_tokens": read, "written_input_tokens": written}
    if stop == "refusal":
        return Failure("the model refused", "refusal", text, prompt, answer, **caching)
    if stop == "model_context_window_exceeded":
        return Failure("the prompt does not fit into the model's context", "too-long", text, prompt, answer,
                       **caching)  # fmt: skip
    if stop == "max_tokens" and kept == len(text):
        return Failure("the answer was cut at max_tokens", "length", text, prompt, answer, **caching)
    if stop not in _WHOLE and stop != "max_tokens":
        raise Transient("the endpoint broke off its answer")
    return Response(text[:kept], prompt, answer, **caching)


def _usage(usage: object) -> tuple[int | None, int | None, int | None, int]:
    """Prompt tokens, answer tokens, and prompt tokens that were read from and written to the endpoint's cache."""
    given = usage if isinstance(usage, dict) else {}
    fresh, answer = token_count(given.get("input_tokens")), token_count(given.get("output_tokens"))
    written = token_count(given.get("cache_creation_input_tokens")) or 0
    read = token_count(given.get("cache_read_input_tokens"))
    return (None if fresh is None else fresh + written + (read or 0)), answer, read, written
