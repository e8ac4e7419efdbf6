"""The HTTP steps that both batch interfaces are made of: plain JSON bodies, faults in the project's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from autointerp.errors import BadInput
from autointerp.llm.address import Address
from autointerp.llm.batch.interface import Outcome, Unanswered
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import EndpointRefusal, read_refusal, refused_prompt, verdict_on
from autointerp.llm.http.transport import FAULTS, broken
from autointerp.study_models import Llm

T = TypeVar("T")
_PATIENCE = 600.0
"""Seconds without a byte, for steps that move many megabytes."""
_PAGE = 100
TELL, GIVE = "tell of a batch", "give results"
"""Steps that ask for one batch, in words."""
_GONE = "use the key of the account that made the batch, or remove the run's batches.sqlite to give the batch up"
_NO_INTERFACE = "check that base_url has a batch interface, or run without --batch"
_MALFORMED = "the endpoint's answer is malformed"


class Declined(BadInput):
    """The endpoint refuses a step, and nothing came of it."""


class Wire:
    """One SDK client, synchronous, its own retries off."""

    def __init__(
        self,
        sdk: ModuleType,
        make: Callable[..., Any],
        llm: Llm,
        address: Address,
        headers: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """`make`: the synchronous client's class in `sdk`; `headers`: for every request. Nothing is sent."""
        self._sdk, self._llm = sdk, llm
        self.secrets = address.secrets
        """What must never be shown."""
        self._client = make(
            api_key=address.key, base_url=address.url, default_query=address.query,
            default_headers={**headers, **address.headers}, timeout=llm.timeout, max_retries=0,
        )  # fmt: skip
        self.patient = self._client.with_options(timeout=max(llm.timeout, _PATIENCE))
        """The client, for steps that move many megabytes."""
        self.where = address.where
        """For messages."""

    def step(self, doing: str, work: Callable[[], T]) -> T:
        """One attempt at `work`. Raises Transient for what may pass, Declined for what won't."""
        try:
            return work()
        except self._sdk.APIStatusError as error:
            raise self._fault(doing, error) from None
        except (self._sdk.APIConnectionError, *FAULTS) as error:
            raise broken(error) from None
        except (self._sdk.APIError, ValueError, RecursionError):
            raise Transient(_MALFORMED) from None

    def _fault(self, doing: str, error: Any) -> Exception:
        status = int(error.status_code)
        refused = read_refusal(status, error.response.headers, error.body or error.message, self.secrets)
        if status == 404:
            remedy = _GONE if doing in (TELL, GIVE) else _NO_INTERFACE
            return Declined(f"{self.where} refuses to {doing} (404: {refused.says})", remedy)
        try:
            verdict_on(refused, self.where, self._llm.api_key_env)
        except BadInput as final:
            return Declined(final.what, final.remedy)
        except Transient as fault:
            return fault
        return Declined(f"{self.where} refuses to {doing} ({status}: {refused.says})", "run without --batch")

    def refusal(self, status: int, body: object) -> EndpointRefusal:
        """A line that tells of an error, read as if its request had been sent by itself."""
        return read_refusal(status, {}, body, self.secrets)

    def outcome(self, refused: EndpointRefusal) -> Outcome:
        """What a line that tells of an error comes to: as for a request sent by itself, but never billed."""
        try:
            return verdict_on(refused, self.where, self._llm.api_key_env)
        except Transient as fault:
            return Unanswered(fault.reason, again=True, billed=False)
        except BadInput as final:
            reason = f"the endpoint refuses the request ({refused.status})"
            prompt = refused_prompt(refused) if refused.about_form and refused.status in (400, 422) else None
            return Unanswered(reason, again=False, billed=False, says=final.what, prompt=prompt)

    def get(self, doing: str, path: str, **params: Any) -> Mapping[str, Any]:
        """A JSON object."""
        options = {"params": params}
        return self._mapping(doing, lambda: self._client.get(path, cast_to=object, options=options))

    def post(self, doing: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a JSON object is answered with: another."""
        return self._mapping(doing, lambda: self.patient.post(path, cast_to=object, body=body))

    def _mapping(self, doing: str, send: Callable[[], object]) -> Mapping[str, Any]:
        """The JSON object that comes back; Transient if it is anything else (a proxy's page under status 200)."""
        body = self.step(doing, send)
        try:
            # A body that is not declared as JSON comes as text.
            found = json.loads(body) if isinstance(body, str) else body
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Transient(_MALFORMED)
        return found

    def download(self, doing: str, path: str) -> bytes:
        """A file of JSON lines, as it is. Raises Transient when its end is missing."""
        content: bytes = self.step(doing, lambda: self.patient.get(path, cast_to=bytes))
        last = content.rstrip().rpartition(b"\n")[2]
        try:
            if last:
                json.loads(last)
        except (ValueError, RecursionError):
            raise Transient("the endpoint's result file is cut short") from None
        return content

    def newest_first(self, path: str, cursor: str) -> Iterator[Mapping[str, Any]]:
        """Everything a list holds, page by page; `cursor` names the parameter that asks for what comes after an id."""
        last = ""
        while True:
            page = self.get("list batches", path, limit=_PAGE, **({cursor: last} if last else {}))
            found = page.get("data")
            batches = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
            yield from batches
            seen, last = last, identifier(batches[-1]) if batches else ""
            if page.get("has_more") is not True or last in ("", seen):
                return

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def json_lines(content: bytes) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a file of JSON lines; what is none is passed over."""
    for line in BytesIO(content):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            yield data


def identifier(body: Mapping[str, Any]) -> str:
    """Its id; Transient when it has none."""
    found = body.get("id")
    if not isinstance(found, str) or not found:
        raise Transient(_MALFORMED)
    return found


def count_given(found: object) -> int:
    """A count that the endpoint gives; 0 when it gives none."""
    return found if isinstance(found, int) and found > 0 else 0
