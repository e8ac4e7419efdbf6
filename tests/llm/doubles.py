"""Doubles: a client and an asker that show what they saw, and a real HTTP server that misbehaves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.client import Provider, Transient
from autointerp.llm.request import Answer, Request, Response
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from tests.loopback import Handling, served


class Counter(Bar):
    """A progress bar that only counts."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, n: int = 1, *, free: bool = False) -> None:
        self.done += n


def request(text: str = "Say yes", **more: Any) -> Request:
    settings: dict[str, Any] = {"model": "m", "max_tokens": 8, "temperature": 0.0, "seed": 0}
    return Request(messages=(("user", text),), **{**settings, **more})


def completion(text: str, **more: Any) -> Request:
    settings: dict[str, Any] = {"model": "m", "max_tokens": 8, "temperature": 0.0, "seed": 0}
    return Request(messages=(("", text),), **{**settings, **more})


@contextmanager
def forward_passes(loaded: LoadedModel) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of what the model reads until the block ends: rows and tokens."""
    seen: list[tuple[int, ...]] = []
    handle = loaded.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


@dataclass
class ScriptedClient:
    """Answers, or raises, what the script holds, in order; raises AssertionError when it runs out."""

    script: list[Answer | Exception]
    seen: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Answer:
        self.seen.append(request)
        assert self.script, "the script has run out"
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


@dataclass
class EchoAsker:
    """Answers every request with what `write` makes of it."""

    write: Callable[[Request], Answer]
    identity: str = "echo"
    seen: list[Request] = field(default_factory=list)

    reasks: int = 0

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        for place, request in enumerate(requests):
            self.seen.append(request)
            yield place, self.write(request)


def one_by_one(client: Provider, requests: Sequence[Request]) -> list[Answer | Transient | BadInput]:
    """What one attempt for each comes to, one after the other; the client is closed."""

    async def go() -> list[Answer | Transient | BadInput]:
        found: list[Answer | Transient | BadInput] = []
        for one in requests:
            try:
                found.append(await client.complete(one))
            except (Transient, BadInput) as stopped:
                found.append(stopped)
        await client.aclose()
        return found

    return asyncio.run(go())


@dataclass
class Reply:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    claims: int | None = None
    """Content-Length to claim when it is not the truth."""
    hang: bool = False
    """Send nothing until the server goes down."""
    reset: bool = False
    """Break the connection (TCP reset) once the body is sent."""
    raw: bool = False
    """Send the body and nothing else, not even HTTP, and close."""


def chat(text: str | None, finish: str = "stop", **message: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    return Reply(
        body=json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    )


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"error": {"message": message, "code": code}}).encode(), named)


@dataclass
class Server:
    """What was asked, and what is still to be answered."""

    url: str
    script: list[Reply]
    seen: list[dict[str, Any]] = field(default_factory=list)
    """Bodies, with `path` and `authorization` added."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of the same requests, names in lower case; those of GET requests, too."""
    clients: list[int] = field(default_factory=list)
    """The port at the other end of each: as many different ones as there were connections."""


class _Http(ThreadingHTTPServer):
    request_queue_size = 512


@contextmanager
def serve(
    *script: Reply, behave: Callable[[dict[str, Any]], Reply] | None = None, models: Reply | None = None
) -> Iterator[Server]:
    """A real server on loopback that answers what the script holds, in order; status 599 when it runs out.

    `behave` answers in the script's place, by the body (with `path`); `models` is what any GET is answered with.
    """
    over = threading.Event()

    class Handler(Handling):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append({**body, "path": self.path, "authorization": self.headers.get("Authorization")})
            self._note()
            if behave is not None:
                self._send(behave(server.seen[-1]))
            else:
                self._send(server.script.pop(0) if server.script else Reply(599, b"the script has run out"))

        def do_GET(self) -> None:
            self._note()
            self._send(models or Reply(404, b"no such path"))

        def _note(self) -> None:
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.clients.append(self.client_address[1])

        def _send(self, reply: Reply) -> None:
            if reply.hang:
                over.wait()
                self.close_connection = True
                return
            if reply.raw:
                self.wfile.write(reply.body)
                self.close_connection = True
                return
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json", "Content-Length": str(reply.claims or len(reply.body))}
            for name, value in {**headers, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.claims is not None or reply.reset
            if reply.reset:
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())

    http = _Http(("127.0.0.1", 0), Handler)
    with served(http) as address:
        server = Server(f"{address}/v1", list(script))
        try:
            yield server
        finally:
            over.set()


YES = Response("yes", 11, 3)


def message(text: str | None, stop: str = "end_turn", **usage: int) -> Reply:
    """An answer in the form of Anthropic's Messages API; None: no text block."""
    content = [] if text is None else [{"type": "text", "text": text}]
    counts = {"input_tokens": 11, "output_tokens": 3, **usage}
    body = {"id": "m", "type": "message", "role": "assistant", "content": content, "stop_reason": stop, "usage": counts}
    return Reply(body=json.dumps(body).encode())
