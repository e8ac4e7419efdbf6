"""Who may ask the server: pages that it sent itself, and nobody else.

It listens on loopback, where every page of every site that a reader has open can send requests too. So each request
must name this server as its host (a name that was made to point here is another), must not come from another origin
(`null`, a file's page, is another), and must hold the token, which is on the pages that the server sends and nowhere
else. No answer allows another origin to read it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

MOST_BYTES = 64 * 1024
"""Of a request's body."""
TOKEN = "x-autointerp-token"
"""The header that holds the token."""
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_OWN_PAGES = (b"same-origin", b"none")
"""What a browser says of a request of a page of ours, and of an address that was typed."""


class Guard:
    """An ASGI app around another that lets only our own pages' requests through."""

    def __init__(self, app: App, port: int, token: str) -> None:
        """`port`: where the server listens, on 127.0.0.1."""
        self._app, self._token = app, token.encode()
        self._hosts = tuple(f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then hand on; a request that is refused reaches nothing."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self._refusal(scope)
        if refused is None and scope["method"] == "POST":
            body = await _body(scope, receive)
            if isinstance(body, bytes):
                receive = _again(body, receive)
            else:
                refused = body
        if refused is not None:
            await _refuse(_safe(send), *refused)
            return
        await self._app(scope, receive, _safe(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(Status, why) of a request that may not be answered."""
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "only GET and POST are answered"
        hosts, origins = _all(scope, b"host"), _all(scope, b"origin")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, "another host's name: use the address that autointerp printed"
        if any(origin != b"http://" + hosts[0] for origin in origins):
            return 403, "a page from elsewhere"
        if any(site not in _OWN_PAGES for site in _all(scope, b"sec-fetch-site")):
            return 403, "a page from elsewhere"
        if scope["path"] == "/":
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            return None if self._knows(asked[0].encode()) else (403, "use the whole address that autointerp printed")
        if scope["path"].startswith("/api/") and not self._knows(b"".join(_all(scope, TOKEN.encode()))):
            return 403, f"no token, or another one, in {TOKEN}"
        return None

    def _knows(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._token)


def _all(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


async def _body(scope: Scope, receive: Receive) -> bytes | tuple[int, str]:
    """The whole body, or (status, why) of one that is not taken."""
    if not any(value.partition(b";")[0].strip() == b"application/json" for value in _all(scope, b"content-type")):
        return 415, "the content type must be application/json"
    too_large = 413, f"a request has at most {MOST_BYTES:,} bytes"
    length = b"".join(_all(scope, b"content-length"))
    if length.isdigit() and int(length) > MOST_BYTES:
        return too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return 400, "the request ended early"
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return too_large
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, rest: Receive) -> Receive:
    """What gives a body that was read already, then what comes after it."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return await rest()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _safe(send: Send) -> Send:
    """Sends with headers that let no other origin read or frame an answer, and no browser guess what it is."""

    async def safely(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in _HEADERS}
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in own]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return safely


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"reason": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
