"""OpenAI's protocol as one endpoint speaks it: what it refuses is left out, or written in the other way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from autointerp.llm.http.refusals import EndpointRefusal
from autointerp.llm.request import Request, without_system
from autointerp.study_models import Llm

_SEEDS = 2**31
_MOST = 20
"""Alternatives per token that OpenAI's chats and vLLM give at most."""
_COMMON = 5
"""Alternatives per token of those that give fewer and do not say how many."""
_OTHER_NAME = "max_completion_tokens"
_OPTIONAL = ("response_format", "temperature", "seed", "stop", "stream_options")
_ALSO_CALLED = {"response_format": ("json_schema", "structured_outputs?", "grammar")}
_SYSTEM = re.compile(
    r"(system|developer) (role|message|instruction|prompt)|role\W{1,3}system|only user and assistant roles", re.I
)
_STREAM = re.compile(r"\bstream(ing)?\b\W+(\w+\W+){0,6}?(true|only|required|enabled|mandatory|set)\b|"
                     r"\b(only|must|requires?|set)\b\W+(\w+\W+){0,6}?stream(ing)?\b", re.I)  # fmt: skip
_LOGPROBS = ("top_logprobs", "logprobs")
_PROMPT = ("prompt_logprobs", "echo")
JsonForm = Literal["json_schema", "schema", "json_object"]
_JSON_FORMS: tuple[JsonForm, ...] = ("json_schema", "schema", "json_object")
_PLAIN_JSON = {"type": "json_object"}
_CHANGEABLE = ("max_tokens", _OTHER_NAME, *_OPTIONAL, *_LOGPROBS, *_PROMPT)


@dataclass(frozen=True)
class Dialect:
    """How this endpoint wants a request written. As OpenAI documents it, until it refuses that."""

    dropped: frozenset[str] = frozenset()
    """Parameters that it does not take."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Its name for the greatest number of answer tokens."""
    most: int = _MOST
    """Alternatives per token that may be asked for."""
    prompt_form: Literal["prompt_logprobs", "echo"] = "prompt_logprobs"
    """How log-probabilities of a prompt are asked for: vLLM's field, or OpenAI's old `echo`."""
    json_form: JsonForm = "json_schema"
    """How an answer's JSON schema is given: as OpenAI's structured outputs, beside the type `json_object` (llama.cpp,
    Together), or not at all."""

    system: bool = True
    """Whether it knows the role `system`; else its text begins the first user turn."""
    streams: bool = False
    """Whether it only answers in streams of events."""

    def body(self, request: Request, model: str) -> dict[str, Any]:
        """The request's JSON."""
        body: dict[str, Any] = {
            "model": model,
            self.limit: request.max_tokens,
            "temperature": request.temperature,
            "seed": request.draw_seed % _SEEDS,
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if request.json_object or request.schema:
            body["response_format"] = self._response_format(request.schema)
        if request.is_completion:
            body |= {"prompt": request.messages[0][1], **self._completion_logprobs(request)}
        else:
            messages = request.messages if self.system else without_system(request.messages)
            body["messages"] = [{"role": role, "content": content} for role, content in messages]
            if request.top_logprobs:
                body |= {"logprobs": True, "top_logprobs": min(request.top_logprobs, self.most)}
        if self.streams:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return {name: value for name, value in body.items() if name not in self.dropped}

    def _response_format(self, schema: str) -> dict[str, Any]:
        if not schema or self.json_form == "json_object":
            return dict(_PLAIN_JSON)
        read = json.loads(schema)
        if self.json_form == "schema":
            return {"type": "json_object", "schema": read}
        # OpenAI enforces a schema to the letter only where every member must be there.
        strict = set(read["required"]) == set(read["properties"])
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": read}}

    def _completion_logprobs(self, request: Request) -> dict[str, Any]:
        answer, prompt = min(request.top_logprobs, self.most), min(request.prompt_logprobs, self.most)
        if prompt and self.prompt_form == "echo":
            return {"echo": True, "logprobs": max(answer, prompt)}
        return {**({"logprobs": answer} if answer else {}), **({"prompt_logprobs": prompt} if prompt else {})}

    def without_what_is_refused(self, refused: EndpointRefusal, body: Mapping[str, Any]) -> Dialect | None:
        """The dialect in which `body` may be taken; None when there is no other way to write it.

        There are thirteen such steps at most: none is ever taken back.
        """
        roles = {message["role"] for message in body.get("messages", ())}
        if "system" in roles and _SYSTEM.search(refused.says):
            return replace(self, system=False)
        if "stream" not in body and _STREAM.search(refused.says):
            return replace(self, streams=True)
        name = named(refused, body)
        if name == "response_format" and body[name] != _PLAIN_JSON:
            return replace(self, json_form=_JSON_FORMS[_JSON_FORMS.index(self.json_form) + 1])
        if name in ("max_tokens", _OTHER_NAME):
            return replace(self, limit="max_completion_tokens") if self.limit == "max_tokens" else None
        if name in _OPTIONAL:
            return replace(self, dropped=self.dropped | {name})
        asked = max(int(body.get(key, 0)) for key in (*_LOGPROBS, "prompt_logprobs"))
        bound = _bound(refused.says, asked) if self.most == _MOST else None
        if name == "prompt_logprobs":
            return replace(self, most=bound) if bound else replace(self, prompt_form="echo")
        if name in _LOGPROBS and asked > _COMMON:
            return replace(self, most=bound or _COMMON)
        return None

    def joined(self, other: Dialect) -> Dialect:
        """What either has learnt: requests that are under way together learn apart."""
        return Dialect(
            self.dropped | other.dropped,
            max(self.limit, other.limit, key=lambda limit: limit == _OTHER_NAME),
            min(self.most, other.most),
            max(self.prompt_form, other.prompt_form, key=lambda form: form == "echo"),
            max(self.json_form, other.json_form, key=_JSON_FORMS.index),
            self.system and other.system,
            self.streams or other.streams,
        )

    def remembered(self) -> dict[str, Any]:
        """As JSON-like data, for `recalled`."""
        return {**asdict(self), "dropped": sorted(self.dropped)}

    @classmethod
    def recalled(cls, found: Mapping[str, Any] | None) -> Dialect:
        """What a probe remembered; the documented one where there is nothing, or nothing that can be understood."""
        try:
            return _READER.validate_python(found or {})
        except ValidationError:
            return cls()

    def news(self, before: Dialect) -> list[str]:
        """What this knows and `before` did not, in words."""
        news = [f"takes no '{name}': sent without it" for name in sorted(self.dropped - before.dropped)]
        if self.limit != before.limit:
            news.append(f"wants '{self.limit}' in place of '{before.limit}'")
        if self.most < before.most:
            news.append(f"gives log-probabilities of {self.most} tokens at most: no more are asked for")
        if self.system != before.system:
            news.append("knows no system role: its text begins the first user turn")
        if self.streams != before.streams:
            news.append("answers in streams alone: they are read")
        if self.prompt_form != before.prompt_form:
            news.append("takes no 'prompt_logprobs': 'echo' is used")
        if (
            self.json_form != before.json_form
            and self.json_form == "json_object"
            and "response_format" not in self.dropped
        ):
            news.append("takes no JSON schema: its JSON mode is used")
        return news


_READER = TypeAdapter(Dialect)


def with_parameters(body: Mapping[str, Any], llm: Llm) -> dict[str, Any]:
    """A body with what the study wants sent beside it: its own parameters last. Only chats know a reasoning effort."""
    more = {} if llm.top_p is None else {"top_p": llm.top_p}
    effort = {"reasoning_effort": llm.reasoning_effort} if llm.reasoning_effort and "messages" in body else {}
    return {**body, **more, **effort, **llm.extra_body}


def named(refused: EndpointRefusal, body: Mapping[str, Any]) -> str:
    """The parameter of `body` that was refused: the one named as such, else the first in the message; '' for none."""
    sent = [name for name in _CHANGEABLE if name in body]
    whole = refused.param.partition(".")[0]  # response_format.json_schema.schema
    if whole in sent:
        return whole
    places: dict[str, int] = {}
    for name in sent:
        called = "|".join((name, *_ALSO_CALLED.get(name, ()))).replace("_", "[ _]")
        found = re.search(rf"(?<!\w)(?:{called})(?!\w)", refused.says)
        if found:
            places[name] = found.start()
    return min(places, key=places.__getitem__) if places else ""


def lacks_logprobs(refused: EndpointRefusal, body: Mapping[str, Any]) -> str:
    """What the endpoint does not give, when the refusal is about that; '' when it is about something else."""
    name = named(refused, body)
    if name in _PROMPT:
        return "log-probabilities of a prompt"
    return "log-probabilities of its answers" if name in _LOGPROBS else ""


def _bound(says: str, asked: int) -> int | None:
    """The greatest number in a message that is less than what was asked for; None when it holds none."""
    numbers = [int(digits) for digits in re.findall(r"(?<![\w.-])\d{1,3}(?![\w-])", says)]
    return max((number for number in numbers if 0 < number < asked), default=None)
