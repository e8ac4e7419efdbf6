"""Anthropic's Messages API, through the `anthropic` SDK."""

from __future__ import annotations

import time
from dataclasses import replace
from urllib.parse import quote

import anthropic
from anthropic import AsyncAnthropic

from autointerp.llm.address import address, identity
from autointerp.llm.anthropic.messages import message_body, read_message
from autointerp.llm.capabilities import QUESTION, Capabilities
from autointerp.llm.client import Probe, Transient
from autointerp.llm.http.refusals import EndpointRefusal, Forms, form_of
from autointerp.llm.http.transport import HttpClient, send
from autointerp.llm.openai.answers import token_count
from autointerp.llm.request import Answer, Request
from autointerp.progress import say
from autointerp.study_models import Llm

_PATH = "/v1/messages"


class AnthropicProvider:
    """One SDK client and one connection pool for all requests. Chats only; no log-probabilities, no seed."""

    def __init__(self, llm: Llm) -> None:
        """Raises BadInput when the key is missing or base_url is no address. Nothing is sent."""
        place = address(llm)
        self._secrets, self._key_env = place.secrets, llm.api_key_env
        self._llm, self._model = llm, llm.model
        self._where = place.where
        self._client = AsyncAnthropic(
            api_key=place.key,
            base_url=place.url,
            default_query=place.query,
            default_headers=place.headers,
            timeout=llm.timeout,
            max_retries=0,
            http_client=HttpClient(llm.concurrency, llm.timeout),
        )
        self._takes_temperature, self._forms = True, Forms()
        self.takes_turns = True
        """Holds a slot only from the first byte of a request to the last of its answer (see `Limited`)."""
        self.identity = identity(llm)
        """Names the endpoint, without secrets."""

    async def complete(self, request: Request) -> Answer:
        """One attempt; where a model takes no temperature, the request is sent again without, as all later ones are.

        Raises Transient for what may pass, BadInput for what won't.
        """
        warm = self._takes_temperature
        answer = await self._ask(request, warm)
        if isinstance(answer, EndpointRefusal) and warm and answer.about_form and "temperature" in answer.says:
            answer, warm = await self._ask(request, False), False
        if isinstance(answer, EndpointRefusal):
            form = form_of(_PATH, message_body(request, self._llm, warm))
            return await self._forms.verdict_on(answer, form, self._where, self._key_env)
        if self._takes_temperature and not warm:
            self._takes_temperature = False
            say(f"{self._where} takes no 'temperature': sent without it")
        return read_message(answer, request)

    async def _ask(self, request: Request, temperature: bool) -> object:
        body = message_body(request, self._llm, temperature)
        sending = send(anthropic, self._client.post(_PATH, cast_to=object, body=body), self._secrets)
        return await self._forms.ask(form_of(_PATH, body), sending)

    async def get(self, path: str) -> object:
        """Get one JSON body, or EndpointRefusal. Raises Transient."""
        return await send(anthropic, self._client.get(path, cast_to=object), self._secrets)

    async def probe(self) -> Probe:
        """Measure one short answer, and ask for the context length. Raises what `complete` raises."""
        request = Request(QUESTION, self._model, 32 + self._llm.thinking_tokens, 0.0, 0)
        start = time.perf_counter()
        answer = await self.complete(request)
        seconds = time.perf_counter() - start
        tokens = answer.output_tokens
        found = Capabilities(self.identity, self._model, context=await self._context())
        found = replace(found, latency=seconds, tokens_per_second=tokens / seconds if tokens else None)
        return Probe(found, (answer,))

    async def _context(self) -> int | None:
        try:
            body = await self.get(f"/v1/models/{quote(self._model, safe='')}")
        except Transient:
            return None
        return token_count(body.get("max_input_tokens")) if isinstance(body, dict) else None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()
