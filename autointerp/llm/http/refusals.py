"""A status that is no success: what it says, and whether it may pass, stays, or is about this one prompt."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.address import without
from autointerp.llm.client import Transient
from autointerp.llm.request import Failure

_SHOWN = 300
_PASSING = frozenset({408, 409, 425})
_OVERLOADED = 529
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|maximum context|prompt is too long|input is too long|exceed_context", re.I
)
_NO_CREDIT = re.compile(r"insufficient[ _]quota|insufficient[ _]credit|billing_error|credit balance is too low", re.I)
_FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})


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

    @property
    def too_long(self) -> bool:
        """The prompt does not fit into the model's context."""
        return self.status == 413 or (self.status in (400, 422) and bool(_TOO_LONG.search(self._words)))

    @property
    def filtered(self) -> bool:
        """The prompt was not let through."""
        return self.flagged or bool(self.codes & _FILTERED)

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
        """The request's form was refused: another form may do."""
        return self.status in (400, 422) and not (self.too_long or self.filtered or self.out_of_credit)

    @property
    def _words(self) -> str:
        return " ".join((*sorted(self.codes), self.says))


def read_refusal(status: int, headers: Mapping[str, str], body: object, secrets: Collection[str]) -> EndpointRefusal:
    """Read an error answer: `body` is whatever JSON came, or text."""
    error = body.get("error", body) if isinstance(body, dict) else body
    fields = error if isinstance(error, dict) else {}
    codes = frozenset(str(fields[name]) for name in ("code", "type") if isinstance(fields.get(name), str | int))
    metadata = fields.get("metadata")
    words = " ".join(_texts(error)) or "no reason given"
    # Without what moves a terminal's cursor, and on one line.
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return EndpointRefusal(
        status,
        without(words, secrets)[:_SHOWN],
        codes,
        _param(fields),
        retry_after(headers),
        isinstance(metadata, dict) and "flagged_input" in metadata,
    )


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
    detail = fields.get("detail")
    first = detail[0] if isinstance(detail, list) and detail else None
    place = first.get("loc") if isinstance(first, dict) else None
    return str(place[1]) if isinstance(place, list) and len(place) > 1 else ""


def verdict_on(refused: EndpointRefusal, where: str, key_env: str | None) -> Failure:
    """What a refusal comes to.

    A Failure when it is about this one prompt. Raises Transient when it may pass, BadInput when it stays; `where`
    names model and endpoint, `key_env` the variable of the key.
    """
    if refused.filtered:
        return Failure("refused by the endpoint's content filter", "refusal")
    if refused.too_long:
        return Failure("the prompt does not fit into the model's context", "too-long")
    status = refused.status
    if refused.out_of_credit:
        raise BadInput(f"{where}: out of credit ({status})", "top up the account, or use another key")
    if status == 429:
        raise Transient("the endpoint answered 429", refused.retry_after, billed=False, crowded=True)
    if refused.may_pass:
        crowded = status == _OVERLOADED or (status == 503 and refused.retry_after is not None)
        raise Transient(f"the endpoint answered {status}", refused.retry_after, crowded=crowded)
    if status in (401, 403):
        variable = f"${key_env}" if key_env else "api_key_env"
        raise BadInput(f"{where} refuses the key ({status})", f"check {variable} in the environment")
    raise BadInput(f"{where} refuses the request ({status}: {refused.says})",
                   "check base_url, model and the prompt's form (chat or completion)")  # fmt: skip


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
