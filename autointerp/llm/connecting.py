"""Connections to endpoints, and what a broken one means: shared by the SDKs, which map the same faults differently."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Awaitable, Collection, Iterator
from types import ModuleType

import httpx2

from autointerp.llm.client import Transient
from autointerp.llm.refusals import read_refusal

_SPARE = 8
"""Connections beyond the requests in flight: one that is being closed still counts."""
_IDLE = 15.0
"""Seconds that an idle connection is kept."""


def aiohttp_is_here() -> bool:
    """Whether the faster transport is installed."""
    return importlib.util.find_spec("aiohttp") is not None


def http_client(sdk: ModuleType, concurrency: int, timeout: float) -> httpx2.AsyncClient:
    """One pool of connections for all requests of an endpoint, with room for `concurrency` of them at a time.

    `sdk` is the module `openai` or `anthropic`. Over aiohttp where it is installed: httpx2's own pool looks at every
    connection for every request.
    """
    room = concurrency + _SPARE
    limits = httpx2.Limits(max_connections=room, max_keepalive_connections=room, keepalive_expiry=_IDLE)
    make = sdk.DefaultAioHttpClient if aiohttp_is_here() else sdk.DefaultAsyncHttpxClient
    client: httpx2.AsyncClient = make(limits=limits, timeout=timeout)
    return client


def _faults() -> tuple[type[Exception], ...]:
    if not aiohttp_is_here():
        return (httpx2.HTTPError, OSError)
    import aiohttp

    return (httpx2.HTTPError, OSError, aiohttp.ClientError)


FAULTS = _faults()
"""What a transport raises that the SDKs do not wrap."""


async def send(sdk: ModuleType, sending: Awaitable[object], timeout: float, secrets: Collection[str]) -> object:
    """The JSON body that comes back, or Refused for an error answer. Raises Transient.

    `sending` is a call of the SDK `sdk` that is under way, `timeout` its seconds from beginning to end.
    """
    try:
        async with asyncio.timeout(timeout):
            body = await sending
        # A body that is not declared as JSON comes as text.
        return json.loads(body) if isinstance(body, str) else body
    except sdk.APIStatusError as error:
        return read_refusal(error.status_code, error.response.headers, error.body, secrets)
    except TimeoutError:
        raise Transient("the endpoint did not answer in time") from None
    except (sdk.APIConnectionError, *FAULTS) as error:
        raise broken(error) from None
    except (sdk.APIError, ValueError, RecursionError):
        raise Transient("the endpoint's answer is malformed") from None


def broken(error: BaseException) -> Transient:
    """What an SDK's connection error, or one of FAULTS, comes to: did the request reach the endpoint at all?"""
    causes = list(_causes(error))
    if any(_never_connected(cause) for cause in causes):
        return Transient("no connection to the endpoint", billed=False)
    if any(isinstance(cause, TimeoutError | httpx2.ReadTimeout | httpx2.WriteTimeout) for cause in causes):
        return Transient("the endpoint did not answer in time")
    return Transient("the connection broke before the answer was whole")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _never_connected(error: BaseException) -> bool:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        # The SDKs' adapters give these names to a connection that aiohttp lost later, too: its own error knows.
        return not _lost_later(error.__cause__)
    return False


def _lost_later(error: BaseException | None) -> bool:
    if error is None or not type(error).__module__.startswith("aiohttp"):
        return False
    import aiohttp

    return not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
