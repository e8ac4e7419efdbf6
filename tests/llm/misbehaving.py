"""A real OpenAI-compatible server on loopback that answers from what it is asked, and misbehaves on purpose.

Whether and how a request fails depends on the seed, the request and how often it was asked before, so that
the same run meets the same faults whatever order its requests come in.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np

from tests.loopback import Handling, served

Body = dict[str, Any]
Count = Callable[[Body], int]
"""From a request's body to the tokens of its prompt."""
Brain = Callable[[Body], str]
"""From a request's body to what a model would write."""

TRANSPORT = (
    "429", "429 retry-after", "429 retry-after date", "500", "502 html", "503", "reset", "truncated", "empty choices",
    "null content", "html under 200", "hang",
)  # fmt: skip
"""Faults of the endpoint: the same request is tried again."""
CONTENT = ("prose", "not json", "wrong values", "duplicate key", "cut", "no logprobs")
"""Faults of the answer: the question is asked again, as another draw."""
HARMLESS = ("code fence",)
"""Odd, and to be read all the same."""


def draw(*parts: object) -> np.random.Generator:
    """A generator of its own for each thing that is drawn."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big"))


@dataclass
class Endpoint:
    """What the server does, and what it saw."""

    brain: Brain
    faults: Mapping[str, float] = field(default_factory=dict)
    """Share of requests that meet each fault."""
    seed: int = 0
    delay: float = 0.0
    count: Count | None = None
    """Counts a prompt's tokens; None: four characters are one."""
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each request came, by `request_name`."""
    answered: Counter[str] = field(default_factory=Counter)
    """How often each request got a whole answer."""
    met: Counter[str] = field(default_factory=Counter)
    """How often each fault was played."""
    keys: set[str | None] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def fault(self, name: str) -> str | None:
        """What goes wrong this time; None: nothing."""
        with self.lock:
            number = self.asked[name]
            self.asked[name] += 1
        rng = draw(self.seed, name, number)
        fate = rng.random()
        for fault, share in self.faults.items():
            fate -= share
            if fate < 0:
                with self.lock:
                    self.met[fault] += 1
                return fault
        return None


def request_name(messages: list[dict[str, str]], seed: int | None) -> str:
    """Names a request by what is asked and by the seed of its draw."""
    return hashlib.sha256(json.dumps([messages, seed], sort_keys=True).encode()).hexdigest()


def _characters(body: Body) -> int:
    return sum(len(m["content"]) for m in body["messages"]) // 4


def answer_body(
    text: str | None, body: Body, finish: str = "stop", *, logprobs: bool = True, count: Count = _characters
) -> bytes:
    """A chat's answer as a server sends it; with log-probabilities, one "token" per character, when they are asked."""
    choice: Body = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    if body.get("logprobs") and logprobs and text is not None:
        choice["logprobs"] = {"content": [_token(c, int(body.get("top_logprobs", 0))) for c in text]}
    usage = {"prompt_tokens": count(body), "completion_tokens": 9}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def _token(character: str, top: int) -> Body:
    """A digit comes with the digits one and three above it; anything else with characters that are none."""
    others = [str((int(character) + step) % 10) for step in (1, 3)] if character.isdigit() else []
    likely = [character, *others, *(c for c in "abcdefg" if c != character)]
    ranked = [{"token": token, "logprob": -0.3 - 1.3 * place} for place, token in enumerate(likely)]
    return {"token": character, "logprob": -0.3, "top_logprobs": ranked[:top]}


def spoilt(fault: str, text: str, body: Body) -> bytes:
    """An answer under status 200 that can't be used as it is."""
    if fault == "empty choices":
        return json.dumps({"id": "c", "choices": [], "usage": {}}).encode()
    if fault == "null content":
        return answer_body(None, body)
    if fault == "html under 200":
        return b"<html><body>please log in</body></html>"
    if fault == "cut":
        return answer_body(text[: len(text) // 2], body, "length")
    if fault == "no logprobs":
        return answer_body(text, body, logprobs=False)
    if fault == "code fence":
        return answer_body(f"```json\n{text}\n```" if text.startswith("{") else text, body)
    if not text.startswith("{"):
        return answer_body("", body) if fault in CONTENT else answer_body(text, body)
    written = {
        "prose": "I think that this unit is about many things.",
        "not json": text[:-1] + ",]",
        "wrong values": json.dumps({"answers": [1, 7], "0": 77}),
        "duplicate key": text[:-1] + ", " + text[1:] if len(text) > 2 else '{"0": 1, "0": 2}',
    }
    return answer_body(written[fault], body)


@contextmanager
def running(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve until the block ends."""

    class Handler(Handling):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(raw)
            if not self.path.endswith("/v1/chat/completions"):
                self.answer(404, json.dumps({"error": {"message": f"no {self.path}", "code": None}}).encode())
                return
            name = request_name(body["messages"], body.get("seed"))
            endpoint.keys.add(self.headers.get("Authorization"))
            fault = endpoint.fault(name)
            if endpoint.delay:
                endpoint.over.wait(endpoint.delay)
            text = endpoint.brain(body)
            if fault in (None, *CONTENT, *HARMLESS, "empty choices", "null content", "html under 200"):
                count = endpoint.count or _characters
                sent = answer_body(text, body, count=count) if fault is None else spoilt(str(fault), text, body)
                self.answer(200, sent)
                with endpoint.lock:
                    endpoint.answered[name] += fault is None
            else:
                self._fail(str(fault), answer_body(text, body))

        def _fail(self, fault: str, good: bytes) -> None:
            error = json.dumps({"error": {"message": "not now", "code": None}}).encode()
            if fault == "hang":
                endpoint.over.wait(3)
                self.close_connection = True
            elif fault == "reset":
                self.send_response(200)
                self.send_header("Content-Length", str(len(good)))
                self.end_headers()
                self.wfile.write(good[: len(good) // 2])
                self.wfile.flush()
                linger = struct.pack("ii", 1, 0)  # closing now sends RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
            elif fault == "truncated":
                self.answer(200, good[: len(good) // 2])
            elif fault == "502 html":
                self.answer(502, b"<html><h1>502 Bad Gateway</h1></html>", kind="text/html")
            elif fault == "429 retry-after":
                self.answer(429, error, **{"Retry-After": "0.02"})
            elif fault == "429 retry-after date":
                self.answer(429, error, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
            else:
                self.answer(int(fault), error)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that was killed leaves broken connections behind

    http = Server(("127.0.0.1", 0), Handler)
    with served(http) as address:
        endpoint.url = f"{address}/v1"
        try:
            yield endpoint
        finally:
            endpoint.over.set()
