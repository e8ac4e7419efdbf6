"""Endpoints that speak OpenAI's protocol, through the `openai` SDK: hosted, vLLM, llama.cpp, gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import openai
from openai import AsyncOpenAI, Omit

from autointerp.errors import BadInput
from autointerp.llm.address import address, identity
from autointerp.llm.capabilities import recall
from autointerp.llm.client import Probe, Transient
from autointerp.llm.http.refusals import EndpointRefusal, Forms, form_of, verdict_on
from autointerp.llm.http.transport import HttpClient, send
from autointerp.llm.openai.answers import read_answer
from autointerp.llm.openai.cutting import PromptLengths
from autointerp.llm.openai.dialect import Dialect, lacks_logprobs, with_parameters
from autointerp.llm.openai.probe import probe
from autointerp.llm.request import Answer, Failure, Request
from autointerp.progress import say
from autointerp.study_models import Llm


def hiding_headers(llm: Llm) -> Mapping[str, Any]:
    """Keep the SDK from telling an endpoint of another's which organization one is of."""
    return {} if llm.base_url is None else {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}


class OpenAIProvider:
    """One SDK client and one connection pool for all requests. Chats go to /chat/completions, texts to /completions."""

    def __init__(self, llm: Llm) -> None:
        """Raises BadInput when the key is missing or base_url is no address. Nothing is sent."""
        place = address(llm)
        self._secrets, self._key_env = place.secrets, llm.api_key_env
        self._llm, self._model = llm, llm.model
        self._where = place.where
        self._client = AsyncOpenAI(
            api_key=place.key,
            base_url=place.url,
            default_query=place.query,
            default_headers={**place.headers, **hiding_headers(llm)},
            timeout=llm.timeout,
            max_retries=0,
            http_client=HttpClient(llm.concurrency, llm.timeout),
        )
        remembered = recall(identity(llm), llm.model)
        self._dialect = Dialect.recalled(None if remembered is None else remembered.dialect)
        self._forms, self._lengths = Forms(), PromptLengths(place.where)
        self._prompt_form_is_sure = False
        self.takes_turns = True
        """Holds a slot only from the first byte of a request to the last of its answer (see `Limited`)."""
        self.identity = identity(llm)
        """Names the endpoint, without secrets."""

    async def complete(self, request: Request) -> Answer:
        """One attempt; only a request whose form is refused is sent again, in another form that is then kept to.

        Raises Transient for what may pass, BadInput for what won't.
        """
        known = dialect = self._dialect
        first = ""
        while True:
            body = dialect.body(request, self._model)
            path = "/completions" if request.is_completion else "/chat/completions"
            form = form_of(path, body)
            first = first or form
            answer = await self._forms.ask(form, self.post(path, body))
            if not isinstance(answer, EndpointRefusal):
                break
            of_form = answer.about_form and not self._forms.takes(form)
            other = dialect.without_what_is_refused(answer, body) if of_form else None
            if other is None:
                if of_form and (lack := lacks_logprobs(answer, body)):
                    raise BadInput(f"{self._where} gives no {lack} ({answer.status}: {answer.says})",
                                   "choose a simulator that needs none, or another endpoint")  # fmt: skip
                return await self._forms.verdict_on(answer, first, self._where, self._key_env)
            dialect = other
        if dialect != known:
            self._learn(dialect)
        found = read_answer(answer, request, echo="echo" in body)
        self._lengths.add(sum(len(text) for _, text in request.messages), found.input_tokens)
        return self._checked(found, request, dialect)

    def _checked(self, answer: Answer, request: Request, dialect: Dialect) -> Answer:
        """A prompt's log-probabilities that did not come may come in the other form, with the next try."""
        if not request.prompt_logprobs:
            return answer
        lacking = isinstance(answer, Failure) and answer.finish == "no-logprobs"
        if lacking and dialect.prompt_form == "prompt_logprobs" and not self._prompt_form_is_sure:
            self._learn(replace(dialect, prompt_form="echo"))
            raise Transient("no log-probabilities of the prompt in this form")
        self._prompt_form_is_sure |= not lacking
        return answer

    def _learn(self, dialect: Dialect) -> None:
        learnt = self._dialect.joined(dialect)
        for news in learnt.news(self._dialect):
            say(f"{self._where} {news}")
        self._dialect = learnt

    async def post(self, path: str, body: Mapping[str, Any]) -> object:
        """Send one JSON body; give the one that comes back, or EndpointRefusal. Raises Transient."""
        whole = with_parameters(body, self._llm)
        return await send(openai, self._client.post(path, cast_to=object, body=whole), self._secrets)

    async def get(self, path: str) -> object:
        """Get one JSON body, or EndpointRefusal. Raises Transient."""
        return await send(openai, self._client.get(path, cast_to=object), self._secrets)

    async def probe(self) -> Probe:
        """Find out what the endpoint can do, by a chat and a completion or two. Raises what `complete` raises."""
        found = await probe(self, self._model, self._llm.thinking_tokens)
        if found.refused is None:
            return Probe(found.capabilities, found.answers, found.lost)
        try:
            verdict = verdict_on(found.refused, self._where, self._key_env)
            refused = BadInput(f"{self._where} refuses the probe ({verdict.reason})", "check base_url and model")
        except BadInput as told:
            refused = told
        return Probe(refused, found.answers, found.lost)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()
