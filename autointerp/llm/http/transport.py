"""The HTTP client under both SDKs: aiohttp, in the place of the pool of httpx2 that looks at every connection.

The SDKs build their requests and read their answers as always; what is ours is what lies between. A slot is held from
the moment when a request is ready until its answer has been read, and not while Python gets the one ready and makes
sense of the other. What a broken connection means is said once, for both.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Collection, Iterator
from types import ModuleType
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.http.events import is_stream, whole_body
from autointerp.llm.http.refusals import EndpointRefusal, read_refusal
from autointerp.llm.online.slots import TURN

_log = logging.getLogger(__name__)
_SPARE = 8
"""Connections beyond the requests in flight: one that is being closed still counts."""
_IDLE = 15.0
"""Seconds that an idle connection is kept."""
_OF_THE_BODY = (b"content-encoding", b"content-length", b"transfer-encoding")
"""Headers that no longer hold once a body has been read and decompressed."""


class HttpClient(httpx2.AsyncClient):
    """One pool of connections, with room for `concurrency` requests at a time; whole answers, no streams."""

    def __init__(self, concurrency: int, timeout: float) -> None:
        """`timeout`: seconds from a request's first byte to its answer's last. Nothing is sent."""
        super().__init__(transport=_Unused())
        self._room, self._timeout_seconds = concurrency + _SPARE, timeout
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[tuple[str, Any], httpx2.URL] = {}

    def build_request(
        self, method: str, url: httpx2.URL | str, *, params: Any = None, content: Any = None, headers: Any = None,
        **more: Any,
    ) -> httpx2.Request:  # fmt: skip
        """As httpx2 does it, without parsing the same address again for every request."""
        given = {name: value for name, value in more.items() if name != "timeout" and value is not None}
        if given:
            raise TypeError(f"not supported by this client: {', '.join(given)}")
        place = (str(url), params)
        if place not in self._urls:
            self._urls[place] = httpx2.URL(url) if params is None else httpx2.URL(url, params=params)
        return httpx2.Request(method, self._urls[place], headers=headers, content=content)

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """Send once it is this request's turn, and read the whole answer.

        Raises what aiohttp raises, TimeoutError, and NotSent when cancelled before its turn.
        """
        turn = TURN.get()
        if turn is not None:
            await turn.take()
        async with self._open(request.url).request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=request.content,
        ) as answer:
            body = await answer.read()
        _log.debug("%s %s: %d", request.method, request.url, answer.status)
        headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _OF_THE_BODY]
        if turn is not None and answer.status < 400:  # an error may say that nothing should be sent now
            turn.give_back()
            # The next request has been woken; twice round the loop, and it is on its way before this one goes on.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return httpx2.Response(answer.status, headers=headers, content=body, request=request)

    def _open(self, to: httpx2.URL) -> aiohttp.ClientSession:
        if self._session is None:  # made here: it belongs to the loop that runs
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._room, keepalive_timeout=_IDLE, ssl=httpx2.create_ssl_context()
                ),
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy(to),
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        await super().aclose()


def _proxy(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for this address. (aiohttp's own look at it reads ~/.netrc per request.)"""
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if found is None or proxy_bypass(url.host):
        return None
    if not found.startswith(("http://", "https://")):
        raise BadInput(
            f"the environment's proxy for {url.scheme} speaks {found.partition(':')[0]}, not http",
            "name an http:// proxy in HTTPS_PROXY, or the endpoint's host in NO_PROXY",
        )
    return found


class _Unused(httpx2.AsyncBaseTransport):
    """In the place of the transport that httpx2 would make, with a certificate store, and that nothing would use."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise httpx2.UnsupportedProtocol("requests go through send() alone")


_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, httpx2.ConnectError,
                    httpx2.ConnectTimeout, httpx2.PoolTimeout)  # fmt: skip
FAULTS = (httpx2.HTTPError, OSError, aiohttp.ClientError)
"""What a transport raises that the SDKs do not wrap; `TimeoutError` is an OSError."""


async def send(sdk: ModuleType, sending: Awaitable[object], secrets: Collection[str]) -> object:
    """The JSON body that comes back, or EndpointRefusal for an error answer. Raises Transient.

    `sending` is a call of the SDK `sdk` that is under way.
    """
    try:
        body = await sending
        # A body that is not declared as JSON comes as text; a stream does too, asked for or not.
        if isinstance(body, str):
            found = whole_body(body) if is_stream(body) else json.loads(body)
        else:
            found = body
        return _error_in(found, secrets) or found
    except sdk.APIStatusError as error:
        return read_refusal(error.status_code, error.response.headers, error.body, secrets)
    except (sdk.APIConnectionError, *FAULTS) as error:
        raise broken(error) from None
    except (sdk.APIError, ValueError, RecursionError):
        raise Transient("the endpoint's answer is malformed") from None


_OF_AN_ANSWER = ("choices", "content", "data")
_STATUS_OF_NONE = 500


def _error_in(body: object, secrets: Collection[str]) -> EndpointRefusal | None:
    """An error that comes under status 200 (gateways send them so), as if under the status that its code names."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not error or any(name in body for name in _OF_AN_ANSWER):
        return None
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else _STATUS_OF_NONE
    return read_refusal(status, {}, body, secrets)


def broken(error: BaseException) -> Transient:
    """What an SDK's connection error, or one of FAULTS, comes to: did the request reach the endpoint at all?"""
    causes = list(_causes(error))
    if any(isinstance(cause, _NEVER_CONNECTED) for cause in causes):
        return Transient("no connection to the endpoint", billed=False)
    if any(isinstance(cause, TimeoutError | httpx2.ReadTimeout | httpx2.WriteTimeout) for cause in causes):
        return Transient("the endpoint did not answer in time", slow=True)
    return Transient("the connection broke before the answer was whole")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
