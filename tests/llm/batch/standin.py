"""A stand-in that follows both documented batch protocols on a real loopback server, and misbehaves when told to."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

from tests.loopback import served

KEY = "sk-secret-of-the-tests"
PROMPT_TOKENS, ANSWER_TOKENS = 11, 3


@dataclass
class Fault:
    """What goes wrong with one HTTP step."""

    status: int = 0
    """Answer this, and do nothing."""
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    """Break the connection, and do nothing."""
    lost: bool = False
    """Do it, and break the connection before the answer."""
    html: bool = False
    """A proxy's page under status 200, and do nothing."""
    cut: bool = False
    """Half of the answer, and break the connection."""
    short: bool = False
    """Half of the answer, as if it were all."""


@dataclass
class Batch:
    id: str
    lines: list[dict[str, Any]]
    """{custom_id, body}"""
    created: int
    metadata: dict[str, str] = field(default_factory=dict)
    polls: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    route: str = ""

    @property
    def names(self) -> list[str]:
        return [line["custom_id"] for line in self.lines]


@dataclass
class StandIn:
    url: str = ""
    polls: int = 3
    """Looks until a batch has ended."""
    key: str = KEY
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    """By step: upload, create, list, poll, download."""
    judge: Callable[[str, dict[str, Any], int], dict[str, Any] | None] = lambda name, body, time: None
    """(custom_id, body, how many batches held it before) -> what goes wrong with the line; None: it is answered."""
    most: int = 10**9
    """Requests that may be enqueued at a time (OpenAI's limit of enqueued tokens)."""
    extra: list[bytes] = field(default_factory=list)
    """Lines that don't belong into a result file."""
    hold: str = ""
    """STEP:before, STEP:after or STEP:half: stop there, once."""
    held: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    connections: set[Any] = field(default_factory=set)
    """Accepted and not served to their end."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def accepted(self) -> Counter[str]:
        """How many started batches hold each request."""
        return Counter(name for batch in self.batches if not batch.errors for name in batch.names)

    def deserted(self) -> None:
        """Wait until all that clients, now dead, had sent is done: on a busy machine it may be done long after."""
        urlopen(Request(self.url, method="OPTIONS"), timeout=20).close()  # accepted after all of theirs
        end = time.monotonic() + 20
        while self.connections and time.monotonic() < end:
            time.sleep(0.002)
        assert not self.connections, "a client is still there"


def text_of(body: dict[str, Any]) -> str:
    """What the last message says, in either protocol; what the stand-in answers is made of it."""
    if "prompt" in body:
        return str(body["prompt"])
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def openai_answer(body: dict[str, Any], finish: str = "stop", **message: Any) -> dict[str, Any]:
    text = f"echo {text_of(body)}"
    said = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS}
    return {"id": "c", "choices": [{"index": 0, "finish_reason": finish, **said}], "usage": usage}


def anthropic_answer(body: dict[str, Any], finish: str = "end_turn") -> dict[str, Any]:
    content = [{"type": "text", "text": f"echo {text_of(body)}"}]
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": ANSWER_TOKENS}
    return {"id": "m", "type": "message", "content": content, "stop_reason": finish, "usage": usage}


class _Protocol:
    """Routes of one protocol: (step, answer) per request; raises _Refusal for a status."""

    def __init__(self, server: StandIn) -> None:
        self.server = server

    def answer(self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes) -> Any:
        raise NotImplementedError

    def outcome(self, batch: Batch, line: dict[str, Any]) -> dict[str, Any] | None:
        earlier = [b for b in self.server.batches if b.created < batch.created and not b.errors]
        before = sum(line["custom_id"] in b.names for b in earlier)
        return self.server.judge(line["custom_id"], line["body"], before)

    def page(self, query: dict[str, str], cursor: str, show: Callable[[Batch], Any]) -> dict[str, Any]:
        newest = self.server.batches[::-1]
        if cursor in query:
            ids = [batch.id for batch in newest]
            newest = newest[ids.index(query[cursor]) + 1 :]
        limit = min(int(query.get("limit", 20)), 2)  # pages of two, so that paging is put to the test
        return {"data": [show(batch) for batch in newest[:limit]], "has_more": len(newest) > limit}


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _OpenAI(_Protocol):
    def answer(self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes) -> Any:
        if method == "POST" and path == "/v1/files":
            return self.upload(headers, content)
        if method == "POST" and path == "/v1/batches":
            return self.create(json.loads(content))
        if method == "GET" and path == "/v1/batches":
            return self.page(query, "after", self.show)
        if found := re.fullmatch(r"/v1/batches/([\w-]+)", path):
            return self.poll(found[1])
        if found := re.fullmatch(r"/v1/files/([\w-]+)/content", path):
            return self.results(found[1])
        raise _Refusal(404, "no such path")

    def upload(self, headers: Any, content: bytes) -> Any:
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        parts: Any = BytesParser().parsebytes(head + content).get_payload()
        fields = {part.get_param("name", header="content-disposition"): part for part in parts}
        if fields["purpose"].get_payload() != "batch":
            raise _Refusal(400, "purpose must be batch")
        name = f"file-{len(self.server.files)}"
        self.server.files[name] = fields["file"].get_payload(decode=True)
        return {"id": name, "object": "file", "purpose": "batch", "bytes": len(self.server.files[name])}

    def create(self, body: dict[str, Any]) -> Any:
        if body.get("completion_window") != "24h" or body.get("input_file_id") not in self.server.files:
            raise _Refusal(400, "invalid batch")
        if any(len(k) > 64 or len(v) > 512 for k, v in body["metadata"].items()):
            raise _Refusal(400, "metadata too long")
        rows = [json.loads(line) for line in self.server.files[body["input_file_id"]].splitlines()]
        count = len(self.server.batches)
        lines = [{"custom_id": row["custom_id"], "body": row["body"]} for row in rows]
        batch = Batch(f"batch_{count}", lines, count, body["metadata"], route=body["endpoint"])
        self.validate(batch, rows)
        self.server.batches.append(batch)
        return self.show(batch)

    def validate(self, batch: Batch, rows: list[dict[str, Any]]) -> None:
        bad = [
            row for row in rows
            if set(row) != {"custom_id", "method", "url", "body"} or row["method"] != "POST"
            or row["url"] != batch.route or not 0 < len(row["custom_id"]) <= 64
        ]  # fmt: skip
        if bad or len(set(batch.names)) < len(rows) or len({row["body"]["model"] for row in rows}) > 1:
            self.server.problems.append("invalid lines")
        under_way = sum(len(b.lines) for b in self.server.batches if not b.errors and b.polls < self.server.polls)
        if under_way + len(rows) > self.server.most:
            batch.errors.append({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"})
        if any(row["body"]["model"] == "nosuch" for row in rows):
            batch.errors.append({"code": "model_not_found", "line": 1, "message": f"no model for {self.server.key}"})

    def show(self, batch: Batch) -> dict[str, Any]:
        stages = ["validating", *["in_progress"] * (self.server.polls - 2), "finalizing", "completed"]
        status = stages[min(batch.polls, len(stages) - 1)]
        if batch.errors and batch.polls:
            status = "failed"
        shown: dict[str, Any] = {
            "id": batch.id, "object": "batch", "endpoint": batch.route, "status": status, "created_at": batch.created,
            "metadata": batch.metadata, "output_file_id": None, "error_file_id": None, "errors": None,
            "request_counts": {"total": len(batch.lines), "completed": 0, "failed": 0},
        }  # fmt: skip
        if status == "failed":
            shown["errors"] = {"object": "list", "data": batch.errors}
        if status == "completed":
            good = sum(self.outcome(batch, line) is None for line in batch.lines)
            shown["request_counts"] |= {"completed": good, "failed": len(batch.lines) - good}
            shown["output_file_id"] = f"out-{batch.id}" if good else None
            shown["error_file_id"] = f"err-{batch.id}" if good < len(batch.lines) else None
            if any((self.outcome(batch, line) or {}).get("expired") for line in batch.lines):
                shown["status"] = "expired"
            if any((self.outcome(batch, line) or {}).get("dropped") for line in batch.lines):
                shown["status"] = "cancelled"
        return shown

    def poll(self, name: str) -> Any:
        found = [batch for batch in self.server.batches if batch.id == name]
        if not found:
            raise _Refusal(404, "no such batch")
        found[0].polls += 1
        return self.show(found[0])

    def results(self, file: str) -> bytes:
        kind, _, name = file.partition("-")
        batch = next(batch for batch in self.server.batches if batch.id == name)
        rows: list[bytes] = []
        for line in batch.lines[::-1]:  # not in the order of the requests
            wrong = self.outcome(batch, line)
            row: dict[str, Any] = {"id": f"r{len(rows)}", "custom_id": line["custom_id"], "error": None}
            if wrong is None:
                row["response"] = {"status_code": 200, "request_id": "r", "body": openai_answer(line["body"])}
            elif "body" in wrong:
                row["response"] = {"status_code": 200, "request_id": "r", "body": wrong["body"]}
            elif "status" in wrong:
                error = {"message": wrong["message"], "code": wrong.get("code"), "param": wrong.get("param")}
                row["response"] = {"status_code": wrong["status"], "request_id": "r", "body": {"error": error}}
            elif wrong.get("expired"):
                row |= {"response": None, "error": {"code": "batch_expired", "message": "not executed in time"}}
            if (wrong is None) == (kind == "out") and not {"missing", "dropped"} & set(wrong or {}):
                rows.append(json.dumps(row).encode())
        return b"".join(row + b"\n" for row in [*self.server.extra, *rows])


class _Anthropic(_Protocol):
    def answer(self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes) -> Any:
        if method == "POST" and path == "/v1/messages/batches":
            return self.create(json.loads(content)["requests"])
        if method == "GET" and path == "/v1/messages/batches":
            return self.page(query, "after_id", self.show)
        if found := re.fullmatch(r"/v1/messages/batches/([\w-]+)(/results)?", path):
            batches = [batch for batch in self.server.batches if batch.id == found[1]]
            if not batches:
                raise _Refusal(404, "no such batch")
            if found[2]:
                return self.results(batches[0])
            batches[0].polls += 1
            return self.show(batches[0])
        raise _Refusal(404, "no such path")

    def create(self, requests: list[dict[str, Any]]) -> Any:
        if any(set(row) != {"custom_id", "params"} for row in requests):
            self.server.problems.append("invalid lines")
        names = [row["custom_id"] for row in requests]
        if any(not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names) or len(set(names)) < len(names):
            raise _Refusal(400, "invalid custom_id")
        count = len(self.server.batches)
        lines = [{"custom_id": row["custom_id"], "body": row["params"]} for row in requests]
        self.server.batches.append(Batch(f"msgbatch_{count}", lines, count))
        return self.show(self.server.batches[-1])

    def show(self, batch: Batch) -> dict[str, Any]:
        ended = batch.polls >= self.server.polls
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for line in batch.lines:
            counts[self.result(batch, line)["type"] if ended else "processing"] += 1
        # A results_url that leads elsewhere: the key must not go there.
        url = f"http://127.0.0.1:9/{batch.id}" if ended else None
        return {"id": batch.id, "type": "message_batch", "processing_status": "ended" if ended else "in_progress",
                "request_counts": counts, "results_url": url, "archived_at": None}  # fmt: skip

    def result(self, batch: Batch, line: dict[str, Any]) -> dict[str, Any]:
        wrong = self.outcome(batch, line)
        if wrong is None:
            return {"type": "succeeded", "message": anthropic_answer(line["body"])}
        if "body" in wrong:
            return {"type": "succeeded", "message": wrong["body"]}
        if "status" in wrong:
            kinds = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
            error = {"type": kinds[wrong["status"]], "message": wrong["message"]}
            return {"type": "errored", "error": {"type": "error", "error": error}}
        return {"type": "expired" if wrong.get("expired") else "canceled"}

    def results(self, batch: Batch) -> bytes:
        rows = [
            json.dumps({"custom_id": line["custom_id"], "result": self.result(batch, line)}).encode()
            for line in batch.lines[::-1]
            if not (self.outcome(batch, line) or {}).get("missing")
        ]
        return b"".join(row + b"\n" for row in [*self.server.extra, *rows])


def _step(method: str, path: str) -> str:
    if path.endswith(("/content", "/results")):
        return "download"
    if path.endswith("/files"):
        return "upload"
    if path.endswith("/batches"):
        return "create" if method == "POST" else "list"
    return "poll"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server_state: StandIn
    protocol: _Protocol

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve("GET", b"")

    def do_OPTIONS(self) -> None:
        self.send(200, {}, Fault())
        self.close_connection = True

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.serve("POST", content)

    def serve(self, method: str, content: bytes) -> None:
        state, parts = self.server_state, urlsplit(self.path)
        step = _step(method, parts.path)
        with state.lock:
            state.steps.append(step)
            fault = state.faults[step].pop(0) if state.faults[step] else Fault()
        self.stop_at(f"{step}:before")
        given = self.headers.get("Authorization", "").removeprefix("Bearer ") or self.headers.get("X-Api-Key", "")
        if given != state.key:
            return self.send(401, {"error": {"type": "authentication_error", "message": f"bad key {given}"}}, Fault())
        if fault.reset:
            return self.hang_up()
        if fault.status:
            return self.send(fault.status, {"error": {"message": "a fault", "type": "fault"}}, fault)
        if fault.html:
            return self.send(200, b"<html>maintenance</html>", fault)
        try:
            with state.lock:
                query = dict(parse_qsl(parts.query))
                body = self.protocol.answer(method, parts.path, query, self.headers, content)
        except _Refusal as refusal:
            return self.send(
                refusal.status, {"error": {"message": str(refusal), "type": "invalid_request_error"}}, fault
            )
        self.stop_at(f"{step}:after")
        if fault.lost:
            return self.hang_up()
        self.send(200, body, fault, half=state.hold == f"{step}:half")

    def stop_at(self, place: str) -> None:
        state = self.server_state
        if state.hold == place:
            state.hold = ""
            state.held.set()
            state.over.wait(20)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def send(self, status: int, body: Any, fault: Fault, half: bool = False) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = (
            "text/html" if fault.html else "application/octet-stream" if isinstance(body, bytes) else "application/json"
        )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        shown = content[: len(content) // 2] if fault.cut or fault.short or half else content
        self.send_header("Content-Length", str(len(shown) if fault.short else len(content)))
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(shown)
            self.wfile.flush()
            if half:
                self.server_state.hold = f"{_step('GET', urlsplit(self.path).path)}:here"
                self.stop_at(self.server_state.hold)
        except OSError:  # the other side has been killed
            self.close_connection = True
        if fault.cut or half:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    connections: set[Any]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(client_address)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.remove(client_address)


@contextmanager
def stand_in(provider: str) -> Iterator[StandIn]:
    """A batch interface on loopback that follows the protocol of `openai` or `anthropic`."""
    state = StandIn()
    protocol = (_OpenAI if provider == "openai" else _Anthropic)(state)
    handler = type("Handler", (_Handler,), {"server_state": state, "protocol": protocol})
    http = _Server(("127.0.0.1", 0), handler)
    http.connections = state.connections
    with served(http) as address:
        state.url = address + ("/v1" if provider == "openai" else "")
        try:
            yield state
        finally:
            state.over.set()
    assert not state.problems
