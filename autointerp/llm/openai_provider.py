"""Endpoints that speak OpenAI's protocol, through the `openai` SDK: hosted, vLLM, llama.cpp, gateways."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import openai
from openai import AsyncOpenAI

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.llm.retrying import retry_after
from autointerp.llm.secrets import api_key, public_url, without
from autointerp.study import Llm

_AGAIN = {408, 409, 429}
_SEEDS = 2**31
_SHOWN = 300


class OpenAIProvider:
    """One SDK client and one connection pool for all requests. Chats go to /chat/completions, texts to /completions."""

    def __init__(self, llm: Llm) -> None:
        """Raises BadInput when the key is missing. Nothing is sent."""
        self._key = api_key(llm)
        self._key_env = llm.api_key_env
        self._model, self._timeout = llm.model, llm.timeout
        self._client = AsyncOpenAI(api_key=self._key, base_url=llm.base_url, timeout=llm.timeout, max_retries=0)
        self._url = public_url(str(self._client.base_url))
        self.identity = f"openai {self._url}"
        """Names the endpoint, without secrets."""

    async def complete(self, request: Request) -> Answer:
        """One attempt. Raises Transient for what may pass, BadInput for what won't."""
        try:
            async with asyncio.timeout(self._timeout):
                body = await (self._continue(request) if request.is_completion else self._chat(request))
        except openai.APIStatusError as error:
            return self._refused(error)
        except (TimeoutError, openai.APITimeoutError):
            raise Transient("the endpoint did not answer in time") from None
        except openai.APIConnectionError:
            raise Transient("no connection to the endpoint") from None
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError):
            raise Transient("the endpoint's answer is malformed") from None
        return read_answer(body)

    def _settings(self, request: Request) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.draw_seed % _SEEDS,
        }
        if request.stop:
            settings["stop"] = list(request.stop)
        return settings

    async def _chat(self, request: Request) -> object:
        messages = [{"role": role, "content": content} for role, content in request.messages]
        return await self._client.chat.completions.create(messages=cast(Any, messages), **self._settings(request))

    async def _continue(self, request: Request) -> object:
        return await self._client.completions.create(prompt=request.messages[0][1], **self._settings(request))

    def _refused(self, error: openai.APIStatusError) -> Answer:
        """A status that is no success: Failure for a filtered prompt, else raises Transient or BadInput."""
        status = error.status_code
        if error.code == "content_filter":
            return Failure("refused by the endpoint's content filter", "refusal")
        says = without(" ".join(str(error.message).split()), self._key)[:_SHOWN]
        where = f"model '{self._model}' at {self._url}"
        if error.code == "insufficient_quota":
            raise BadInput(f"{where}: out of credit ({status})", "top up the account, or use another key") from None
        if status in _AGAIN or status >= 500:
            raise Transient(f"the endpoint answered {status}", retry_after(error.response.headers))
        if status in (401, 403):
            variable = f"${self._key_env}" if self._key_env else "api_key_env"
            raise BadInput(f"{where} refuses the key ({status})", f"check {variable} in the environment") from None
        raise BadInput(f"{where} refuses the request ({status}: {says})",
                       "check base_url, model and the prompt's form (chat or completion)") from None  # fmt: skip

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def read_answer(body: object) -> Answer:
    """Read a chat's or a completion's first choice; raises Transient when the body is not what it should be.

    Servers send almost anything under status 200, and the SDK does not validate it: nothing is taken for granted.
    """
    choices = getattr(body, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise Transient("no choices in the endpoint's answer")
    choice = choices[0]
    message = getattr(choice, "message", None)
    text = getattr(message, "content", None) if message is not None else getattr(choice, "text", None)
    usage = getattr(body, "usage", None)
    counts = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    partial = text if isinstance(text, str) else ""
    finish = getattr(choice, "finish_reason", None)
    if finish == "length":
        return Failure("the answer was cut at max_tokens", "length", partial, *counts)
    if getattr(message, "refusal", None):
        return Failure("the model refused", "refusal", partial, *counts)
    if finish == "content_filter":
        return Failure("stopped by the endpoint's content filter", "refusal", partial, *counts)
    if not isinstance(text, str):
        raise Transient("no text in the endpoint's answer")
    return Response(text, *counts)


def _count(usage: object, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value >= 0 else None
