"""OpenAI's Batch API: a file of requests, a batch made of it, a file of answers and one of errors.

Protocol: platform.openai.com/docs/guides/batch (50,000 requests or 200 MB, results within 24 hours).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import openai

from autointerp.llm.address import address, identity
from autointerp.llm.batch.interface import FAILED, FORM, Limits, Outcome, State, Unanswered
from autointerp.llm.batch.store import Submission
from autointerp.llm.batch.wire import GIVE, TELL, Wire, count_given, identifier
from autointerp.llm.capabilities import recall
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import EndpointRefusal
from autointerp.llm.openai.answers import read_answer
from autointerp.llm.openai.dialect import Dialect, with_parameters
from autointerp.llm.openai.provider import hiding_headers
from autointerp.llm.request import Request
from autointerp.study_models import Llm

_CHAT, _COMPLETION = "/v1/chat/completions", "/v1/completions"
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_TAG = "autointerp"
"""The metadata entry that holds our own id."""
_CROWDED = "token_limit_exceeded"
"""The organisation's limit of enqueued tokens: less at a time would pass."""
_LOST = {
    "batch_expired": "the batch expired before the request was done",
    "batch_cancelled": "the batch was cancelled before the request was done",
}


class OpenAIBatches:
    """`BatchApi` of the provider `openai`."""

    def __init__(self, llm: Llm) -> None:
        """Raises BadInput when the key is missing. Nothing is sent."""
        self.identity = identity(llm)
        """The same as OpenAIProvider's."""
        self.limits = Limits(50_000, 200_000_000)
        """As documented."""
        self._llm = llm
        self._wire = Wire(openai, openai.OpenAI, llm, address(llm), hiding_headers(llm))
        self._uploaded: dict[str, str] = {}
        remembered = recall(self.identity, llm.model)
        self._dialect = self._written = Dialect.recalled(None if remembered is None else remembered.dialect)

    def route(self, request: Request) -> str:
        """Chats and completions go to different paths, and a batch to one."""
        return _COMPLETION if request.is_completion else _CHAT

    def line(self, name: str, request: Request) -> Mapping[str, Any]:
        """One line of the input file."""
        self._written = self._dialect
        body = with_parameters(self._written.body(request, self._llm.model), self._llm)
        return {"custom_id": name, "method": "POST", "url": self.route(request), "body": body}

    def newest(self) -> str:
        """Id of the newest batch of the account; '' when there is none."""
        return next((identifier(batch) for batch in self._wire.newest_first("/batches", "after")), "")

    def create(self, submission: Submission, lines: Sequence[Mapping[str, Any]]) -> str:
        """Upload the file, unless an earlier try did; make the batch, with our own id in its metadata."""
        file = self._uploaded.get(submission.uuid)
        if file is None:
            file = self._uploaded[submission.uuid] = self._upload(lines)
        body = {
            "input_file_id": file,
            "endpoint": submission.route,
            "completion_window": "24h",
            "metadata": {_TAG: submission.uuid},
        }
        return identifier(self._wire.post("make a batch", "/batches", body))

    def _upload(self, lines: Sequence[Mapping[str, Any]]) -> str:
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        file = ("requests.jsonl", content, "application/jsonl")
        made = self._wire.step("take a file", lambda: self._wire.patient.files.create(file=file, purpose="batch"))
        return identifier({"id": getattr(made, "id", None)})

    def candidates(self, submission: Submission, count: int) -> Sequence[str]:
        """The one batch whose metadata holds our own id, if there is one."""
        for batch in self._wire.newest_first("/batches", "after"):
            found, metadata = identifier(batch), batch.get("metadata")
            if found == submission.after:
                break
            if isinstance(metadata, dict) and metadata.get(_TAG) == submission.uuid:
                return [found]
        return []

    def holds(self, remote: str, names: Collection[str]) -> bool | None:
        """A candidate is known by its metadata: it does."""
        return True

    def state(self, remote: str) -> State:
        """How far a batch is."""
        batch = self._wire.get(TELL, f"/batches/{quote(remote, safe='')}")
        identifier(batch)
        status, counts = batch.get("status"), batch.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        files = [batch.get(name) for name in ("output_file_id", "error_file_id")]
        refusal, crowded = self._refusal(batch) if status == "failed" else ("", False)
        return State(
            ended=status in _ENDED,
            done=count_given(counts.get("completed")) + count_given(counts.get("failed")),
            total=count_given(counts.get("total")),
            results=tuple(f"/files/{quote(file, safe='')}/content" for file in files if isinstance(file, str) and file),
            refusal=refusal,
            crowded=crowded,
            broken_off=status in ("expired", "cancelled"),
        )

    def _refusal(self, batch: Mapping[str, Any]) -> tuple[str, bool]:
        """Why a batch failed as a whole, in the endpoint's words; whether there was just too much under way."""
        errors = batch.get("errors")
        found = errors.get("data") if isinstance(errors, dict) else None
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        messages = list(dict.fromkeys(row["message"] for row in rows if isinstance(row.get("message"), str)))
        says = self._wire.refusal(400, {"detail": messages}).says
        return says, {row.get("code") for row in rows} == {_CROWDED}

    def download(self, path: str) -> bytes:
        """The file of answers, or of errors."""
        return self._wire.download(GIVE, path)

    def read(self, line: Mapping[str, Any], request: Request) -> Outcome:
        """A line of either file: an HTTP status and body, or an error of the batch itself."""
        response, error = line.get("response"), line.get("error")
        if not isinstance(response, dict):
            code = error.get("code") if isinstance(error, dict) else None
            reason = _LOST.get(str(code), FAILED)
            return Unanswered(reason, again=True, billed=False)
        status, body = response.get("status_code"), response.get("body")
        if status == 200:
            try:
                return read_answer(body, request, echo=self._written.prompt_form == "echo")
            except Transient as fault:
                return Unanswered(fault.reason, again=True, billed=True)
        refused = self._wire.refusal(status if isinstance(status, int) else 500, body)
        return self._rewritten(refused, request) or self._wire.outcome(refused)

    def _rewritten(self, refused: EndpointRefusal, request: Request) -> Unanswered | None:
        """When the request's form was refused, and there is another: what the next batch will do about it."""
        if not refused.about_form:
            return None
        form = self._written.without_what_is_refused(refused, self._written.body(request, self._llm.model))
        if form is None:
            return None
        self._dialect = self._dialect.joined(form)
        news = f"{self._wire.where} {'; '.join(form.news(self._written))}"
        return Unanswered(FORM, again=True, billed=False, says=news)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()
