"""Connections to endpoints, and what a broken one means: shared by the SDKs, which map the same faults differently."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Collection, Iterator
from types import ModuleType

import aiohttp
import httpx2

from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import read_refusal

_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, httpx2.ConnectError,
                    httpx2.ConnectTimeout, httpx2.PoolTimeout)  # fmt: skip
FAULTS = (httpx2.HTTPError, OSError, aiohttp.ClientError)
"""What a transport raises that the SDKs do not wrap; `TimeoutError` is an OSError."""


async def send(sdk: ModuleType, sending: Awaitable[object], secrets: Collection[str]) -> object:
    """The JSON body that comes back, or Refused for an error answer. Raises Transient.

    `sending` is a call of the SDK `sdk` that is under way.
    """
    try:
        body = await sending
        # A body that is not declared as JSON comes as text.
        return json.loads(body) if isinstance(body, str) else body
    except sdk.APIStatusError as error:
        return read_refusal(error.status_code, error.response.headers, error.body, secrets)
    except (sdk.APIConnectionError, *FAULTS) as error:
        raise broken(error) from None
    except (sdk.APIError, ValueError, RecursionError):
        raise Transient("the endpoint's answer is malformed") from None


def broken(error: BaseException) -> Transient:
    """What an SDK's connection error, or one of FAULTS, comes to: did the request reach the endpoint at all?"""
    causes = list(_causes(error))
    if any(isinstance(cause, _NEVER_CONNECTED) for cause in causes):
        return Transient("no connection to the endpoint", billed=False)
    if any(isinstance(cause, TimeoutError | httpx2.ReadTimeout | httpx2.WriteTimeout) for cause in causes):
        return Transient("the endpoint did not answer in time")
    return Transient("the connection broke before the answer was whole")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
