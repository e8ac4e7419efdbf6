"""Anthropic's Message Batches: all requests in one body, all results in one file once the batch has ended.

Protocol: docs.anthropic.com/en/docs/build-with-claude/batch-processing (100,000 requests or 256 MB, results within 24
hours). A batch carries no mark of ours, and shows its requests' names only in its results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import anthropic

from autointerp.llm.address import address, identity
from autointerp.llm.anthropic.messages import message_body, read_message
from autointerp.llm.batch.interface import FAILED, FORM, Limits, Outcome, State, Unanswered
from autointerp.llm.batch.store import Submission
from autointerp.llm.batch.wire import GIVE, TELL, Wire, count_given, identifier, json_lines
from autointerp.llm.client import Transient
from autointerp.llm.request import Request
from autointerp.study_models import Llm

_BATCHES = "/v1/messages/batches"
_MESSAGES = "/v1/messages"
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that each type of error has when a request is sent by itself."""
_LOST = {
    "expired": "the batch expired before the request was done",
    "canceled": "the batch was cancelled before the request was done",
}


class AnthropicBatches:
    """`BatchApi` of the provider `anthropic`."""

    def __init__(self, llm: Llm) -> None:
        """Raises BadInput when the key is missing. Nothing is sent."""
        self.identity = identity(llm)
        """The same as AnthropicProvider's."""
        self.limits = Limits(100_000, 256_000_000)
        """As documented."""
        self._llm = llm
        self._wire = Wire(anthropic, anthropic.Anthropic, llm, address(llm))
        self._temperature = self._written = True

    def newest(self) -> str:
        """Id of the newest batch of the workspace; '' when there is none."""
        return next((identifier(batch) for batch in self._wire.newest_first(_BATCHES, "after_id")), "")

    def create(self, submission: Submission, lines: Sequence[Mapping[str, Any]]) -> str:
        """Make the batch."""
        return identifier(self._wire.post("make a batch", _BATCHES, {"requests": lines}))

    def candidates(self, submission: Submission, count: int) -> Sequence[str]:
        """Batches of as many requests that were made since, oldest first."""
        found: list[str] = []
        for batch in self._wire.newest_first(_BATCHES, "after_id"):
            if identifier(batch) == submission.after:
                break
            if sum(_counts(batch).values()) == count:
                found.append(identifier(batch))
        return found[::-1]

    def holds(self, remote: str, names: Collection[str]) -> bool | None:
        """Shown by the names in its results; None until it has ended."""
        state = self.state(remote)
        if not state.ended:
            return None
        return any(self._names(path) & set(names) for path in state.results)

    def _names(self, path: str) -> set[object]:
        return {line.get("custom_id") for line in json_lines(self.download(path))}

    def state(self, remote: str) -> State:
        """How far a batch is."""
        path = f"{_BATCHES}/{quote(remote, safe='')}"
        batch = self._wire.get(TELL, path)
        identifier(batch)
        counts, ended = _counts(batch), batch.get("processing_status") == "ended"
        total = sum(counts.values())
        # Not the address that the answer names: the key goes to the configured endpoint only. Results are kept for 29
        # days, and then archived.
        results = (f"{path}/results",) if ended and not batch.get("archived_at") else ()
        return State(ended, total - counts.get("processing", 0), total, results)

    def download(self, path: str) -> bytes:
        """The file of results."""
        return self._wire.download(GIVE, path)

    def route(self, request: Request) -> str:
        """All go to the one path; BadInput for a completion or log-probabilities, which the API does not have."""
        message_body(request, self._llm)
        return _MESSAGES

    def line(self, name: str, request: Request) -> Mapping[str, Any]:
        """One of the batch's requests."""
        self._written = self._temperature
        return {"custom_id": name, "params": message_body(request, self._llm, self._written)}

    def read(self, line: Mapping[str, Any], request: Request) -> Outcome:
        """A line of the results: a message, an error, or what became of the batch."""
        found = line.get("result")
        result = found if isinstance(found, dict) else {}
        kind, error = result.get("type"), result.get("error")
        if kind == "succeeded":
            try:
                return read_message(result.get("message"), request)
            except Transient as fault:
                return Unanswered(fault.reason, again=True, billed=True)
        if kind == "errored":
            refused = self._wire.refusal(_status(error), error)
            if self._written and refused.about_form and "temperature" in refused.says:
                self._temperature = False
                says = f"{self._wire.where} takes no 'temperature': sent without it"
                return Unanswered(FORM, again=True, billed=False, says=says)
            return self._wire.outcome(refused)
        return Unanswered(_LOST.get(str(kind), FAILED), again=True, billed=False)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()


def _counts(batch: Mapping[str, Any]) -> dict[str, int]:
    """Requests by what became of them; they sum to those of the batch."""
    found = batch.get("request_counts")
    return {str(name): count_given(count) for name, count in found.items()} if isinstance(found, dict) else {}


def _status(error: object) -> int:
    """The status that such an error has when a request is sent by itself."""
    inner = error.get("error") if isinstance(error, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    return _STATUS.get(str(kind), 500)
