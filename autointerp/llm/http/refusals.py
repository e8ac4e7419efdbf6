"""A status that is no success: what it says, and whether it may pass, stays, or is about this one prompt."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from autointerp.artifacts import canonical_json
from autointerp.errors import BadInput
from autointerp.llm.address import without
from autointerp.llm.client import Transient
from autointerp.llm.online.slots import TURN
from autointerp.llm.request import Failure

_SHOWN = 300
_PASSING = frozenset({408, 409, 425})
_OVERLOADED = 529
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|maximum context|prompt is too long|input is too long|exceed_context|"
    r"max_new_tokens`? must be|input token count|too many input tokens",
    re.I,
)
_NO_CREDIT = re.compile(r"insufficient[ _]quota|insufficient[ _]credit|billing_error|credit balance is too low", re.I)
_FILTERED = frozenset({
    "content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "invalid_prompt",
    "data_inspection_failed", "DataInspectionFailed",
})  # fmt: skip
"""Codes: Azure's, OpenAI's, Alibaba's."""
_FILTERED_WORDS = re.compile(r"content exists risk|content filter(ing)? policy|content management policy", re.I)
"""Where no code says so: DeepSeek's, Anthropic's, Azure's."""
_UNREADABLE = frozenset({"json_validate_failed"})
"""Codes for an answer that the server asked a JSON object of, and that was none (Groq)."""
_ABOUT_FORM = re.compile(
    r"not allowed to request|unsupported|not support|not permitted|(unknown|invalid|unexpected|unrecognized) "
    r"(parameter|argument|field|keyword)|extra inputs",
    re.I,
)
"""Words about a request's form, under a status that is not for that."""
MOST_IN_A_ROW = 20
"""Prompts that may be refused one after the other, for no known reason, before the run ends."""


@dataclass(frozen=True)
class EndpointRefusal:
    """An error answer, read; nothing about its form is taken for granted."""

    status: int
    says: str
    """The endpoint's words on one line, at most 300 characters, without secrets."""
    codes: frozenset[str]
    """Its `code` and `type`."""
    param: str
    """The parameter that it names as the culprit; '' when it names none."""
    retry_after: float | None
    """Seconds."""
    flagged: bool
    """A moderation in front of the model did not let the prompt through."""
    written: str = ""
    """What the model wrote and the server would not pass on."""

    @property
    def too_long(self) -> bool:
        """The prompt does not fit into the model's context."""
        return self.status == 413 or (self.status in (400, 422) and bool(_TOO_LONG.search(self._words)))

    @property
    def filtered(self) -> bool:
        """The prompt was not let through."""
        words = self.status < 500 and _FILTERED_WORDS.search(self.says)
        return self.flagged or bool(self.codes & _FILTERED) or bool(words)

    @property
    def unreadable(self) -> bool:
        """The model's answer was not in the form that the server was to see to: another draw may be."""
        return bool(self.codes & _UNREADABLE)

    @property
    def out_of_credit(self) -> bool:
        """No try would help before somebody pays."""
        return self.status == 402 or (self.status in (400, 403, 429) and bool(_NO_CREDIT.search(self._words)))

    @property
    def may_pass(self) -> bool:
        """A fault of the endpoint's own: it may have worked on the request, and billed it."""
        return self.status in _PASSING or self.status >= 500

    @property
    def about_form(self) -> bool:
        """The request's form was refused, or its prompt for a reason that is not known: another form may do.

        Some refuse a parameter under 403 (OpenAI's reasoning models) or 500 (gateways): their words tell.
        """
        if self.too_long or self.filtered or self.out_of_credit or self.unreadable:
            return False
        told = bool(self.param) or _ABOUT_FORM.search(self._words) is not None
        return self.status in (400, 422) or (told and (self.status == 403 or self.status >= 500))

    @property
    def _words(self) -> str:
        return " ".join((*sorted(self.codes), self.says))


def read_refusal(status: int, headers: Mapping[str, str], body: object, secrets: Collection[str]) -> EndpointRefusal:
    """Read an error answer: `body` is whatever JSON came, or text."""
    error = body.get("error", body) if isinstance(body, dict) else body
    fields = error if isinstance(error, dict) else {}
    metadata = fields.get("metadata")
    behind = _behind(metadata)
    inner = behind.get("error", behind) if isinstance(behind, dict) else behind
    both = [part for part in (fields, inner) if isinstance(part, dict)]
    codes = frozenset(
        str(part[name]) for part in both for name in ("code", "type") if isinstance(part.get(name), str | int)
    )
    words = " ".join((*_texts(error), *_texts(inner))) or "no reason given"
    # Without what moves a terminal's cursor, and on one line.
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return EndpointRefusal(
        status,
        without(words, secrets)[:_SHOWN],
        codes,
        next((param for part in both if (param := _param(part))), ""),
        retry_after(headers),
        isinstance(metadata, dict) and "flagged_input" in metadata,
        next((text for part in both if isinstance(text := part.get("failed_generation"), str)), ""),
    )


def _behind(metadata: object) -> object:
    """What a gateway was told by the provider behind it (OpenRouter's `raw`): JSON, or text; None without."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    try:
        return json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        return raw


def _texts(error: object) -> Iterator[str]:
    """The message in an error's body; without a field for it, all its texts."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, dict):
        named = [error[name] for name in ("message", "msg", "detail") if error.get(name)]
        for value in named or error.values():
            yield from _texts(value)
    elif isinstance(error, list):
        for value in error:
            yield from _texts(value)


def _param(fields: Mapping[str, Any]) -> str:
    """`param` of OpenAI, or the place in the body that a validation error of FastAPI names."""
    param = fields.get("param")
    if isinstance(param, str):
        return param.partition(".")[0]
    message = fields.get("message")
    detail = fields.get("detail") or (message.get("detail") if isinstance(message, dict) else None)
    first = detail[0] if isinstance(detail, list) and detail else None
    place = first.get("loc") if isinstance(first, dict) else None
    return str(place[1]) if isinstance(place, list) and len(place) > 1 else ""


def verdict_on(refused: EndpointRefusal, where: str, key_env: str | None) -> Failure:
    """What a refusal comes to.

    A Failure when it is about this one prompt. Raises Transient when it may pass, BadInput when it stays; `where`
    names model and endpoint, `key_env` the variable of the key.
    """
    if refused.filtered:
        if re.search("output|response|completion", refused.says, re.I):  # it may have been written, and be billed
            return Failure("refused by the endpoint's content filter", "refusal")
        return not_billed("refused by the endpoint's content filter", "refusal")
    if refused.too_long:
        return not_billed("the prompt does not fit into the model's context", "too-long")
    if refused.unreadable:
        return Failure("the endpoint found its answer to be no valid JSON", "unreadable", refused.written)
    status = refused.status
    if refused.out_of_credit:
        raise BadInput(f"{where}: out of credit ({status})", "top up the account, or use another key")
    if status == 429:
        raise Transient("the endpoint answered 429", refused.retry_after, billed=False, crowded=True)
    if refused.may_pass:
        crowded = status == _OVERLOADED or (status == 503 and refused.retry_after is not None)
        raise Transient(f"the endpoint answered {status}", refused.retry_after, crowded=crowded)
    variable = f"${key_env}" if key_env else "api_key_env"
    if status == 401:
        raise BadInput(f"{where} refuses the key ({status})", f"check {variable} in the environment")
    if status == 403:
        what = f"{where} refuses to answer ({status}: {refused.says})"
        raise BadInput(what, f"check {variable}, and that its account may use this model from here")
    raise BadInput(f"{where} refuses the request ({status}: {refused.says})",
                   "check base_url, model and the prompt's form (chat or completion)")  # fmt: skip


class Forms:
    """Which forms of a request an endpoint has taken: what is refused in such a form is refused for its prompt.

    For requests that are under way together, in one event loop.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._asking: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._in_a_row = 0

    async def ask(self, form: str, sending: Awaitable[object]) -> object:
        """What `sending`, a request in this form, comes to: a body, or EndpointRefusal. Raises what it raises."""
        self._asking[form] += 1
        try:
            answer = await sending
            if not isinstance(answer, EndpointRefusal):
                self._taken.add(form)
                self._in_a_row = 0
        finally:
            self._asking[form] -= 1
            self._changed.set()
            self._changed = asyncio.Event()
        return answer

    def takes(self, form: str) -> bool:
        """Whether a request in this form was taken: what is refused in it is no matter of form, whatever its words."""
        return form in self._taken

    async def verdict_on(self, refused: EndpointRefusal, form: str, where: str, key_env: str | None) -> Failure:
        """As the function, but a prompt that is refused in a form that others are taken in is a Failure.

        Before one has been taken, those of this form that are under way are waited for. Raises BadInput for too many
        such refusals in a row, too.
        """
        if not (refused.about_form and refused.status in (400, 422)):
            return verdict_on(refused, where, key_env)
        if (turn := TURN.get()) is not None:
            turn.give_back()  # those that are waited for may be waiting for a slot
        while form not in self._taken and self._asking[form]:
            await self._changed.wait()
        if form not in self._taken:
            return verdict_on(refused, where, key_env)
        self._in_a_row += 1
        if self._in_a_row >= MOST_IN_A_ROW:
            what = f"{where} refuses one prompt after the other ({refused.status}: {refused.says})"
            raise BadInput(what, "check the prompts and the model; the same command goes on with what is left")
        return refused_prompt(refused)


def refused_prompt(refused: EndpointRefusal) -> Failure:
    """What a refusal comes to where others of the same form are taken."""
    return not_billed(f"the endpoint refused the prompt ({refused.status})", "refusal", refused.says)


def not_billed(reason: str, finish: str, says: str = "") -> Failure:
    """A prompt that was refused before anything was made of it: it used no token."""
    return Failure(reason, finish, says, 0, 0)


def form_of(path: str, body: Mapping[str, Any]) -> str:
    """What a request's body is but for its words and its seed, and where it goes."""
    rest = {name: value for name, value in body.items() if name not in ("messages", "prompt", "seed", "system")}
    roles = [message["role"] for message in body.get("messages", ())]
    return canonical_json([path, rest, roles])


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms`, or by `retry-after` in seconds or as a date; None without either."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    given = headers.get("retry-after")
    seconds = _number(given)
    if seconds is not None or given is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
