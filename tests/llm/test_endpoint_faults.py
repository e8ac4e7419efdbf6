"""Faults as each provider tells them, from a real server that misbehaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import not_billed
from autointerp.llm.open import open_provider
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.study_models import Llm
from tests.llm.doubles import Reply, Server, chat, completion, error, message, request, serve

SECRET = "sk-very-secret-0123456789"
PROVIDERS = {"openai": chat("yes"), "anthropic": message("yes")}


def ask(server: Server, *requests: Request, provider: str = "openai", **more: Any) -> list[Answer | BaseException]:
    """One attempt for each, all at once, without any wrapper."""
    url = server.url if provider == "openai" else server.url.removesuffix("/v1")
    llm = Llm.model_validate({"provider": provider, "model": "m", "base_url": url, "timeout": 5.0, **more})

    async def go() -> Sequence[Answer | BaseException]:
        client = open_provider(llm)
        try:
            return await asyncio.gather(*(client.complete(r) for r in requests), return_exceptions=True)
        finally:
            await client.aclose()

    return list(asyncio.run(go()))


def fault(server: Server, provider: str = "openai", **more: Any) -> Transient:
    (found,) = ask(server, request(), provider=provider, **more)
    assert isinstance(found, Transient), found
    return found


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize(
    ("reply", "billed", "crowded", "wait"),
    [
        (error(429, retry_after="2"), False, True, 2.0),
        (error(429), False, True, None),
        (error(503, retry_after="1"), True, True, 1.0),
        (error(503), True, False, None),
        (error(529), True, True, None),
        (error(500), True, False, None),
        (error(408), True, False, None),
        (error(409), True, False, None),
        (Reply(502, b"<html>bad</html>", {"Content-Type": "text/html"}), True, False, None),
    ],
    ids=lambda value: f"{value.status}-{value.headers}" if isinstance(value, Reply) else None,
)
def test_a_status_that_may_pass_is_transient(
    provider: str, reply: Reply, billed: bool, crowded: bool, wait: float | None
) -> None:
    with serve(reply) as server:
        found = fault(server, provider)
    assert found.reason == f"the endpoint answered {reply.status}"
    assert (found.billed, found.crowded, found.retry_after) == (billed, crowded, wait)


BROKEN, MALFORMED = "the connection broke before the answer was whole", "the endpoint's answer is malformed"


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b'{"choices": [', claims=500), BROKEN),
        (Reply(body=b'{"choices": [', claims=500, reset=True), BROKEN),
        (Reply(body=b"", raw=True), BROKEN),
        (Reply(body=b"no HTTP at all\r\n\r\n", raw=True), BROKEN),
        (Reply(body=b'{"id": "c", "choi'), MALFORMED),
        (Reply(body=b"\xff\xfe"), MALFORMED),
        (Reply(body=b"[" * 200_000), MALFORMED),
        (Reply(body=b"9" * 10_000), MALFORMED),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), MALFORMED),
    ],
    ids=lambda value: f"{value.body[:16]!r}-{value.reset}" if isinstance(value, Reply) else None,
)
def test_a_body_that_is_broken_is_transient_and_may_be_billed(provider: str, reply: Reply, reason: str) -> None:
    with serve(reply) as server:
        found = fault(server, provider)
    assert (found.reason, found.billed, found.crowded, found.retry_after) == (reason, True, False, None)


def test_a_json_body_that_is_declared_as_text_is_read() -> None:
    with serve(Reply(body=chat("yes").body, headers={"Content-Type": "text/plain"})) as server:
        assert ask(server, request()) == [Response("yes", 11, 3)]


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_a_refused_connection_cost_nothing_and_a_hang_may_have(provider: str) -> None:
    down = Server("http://127.0.0.1:9/v1", [])
    found = fault(down, provider)
    assert (found.reason, found.billed) == ("no connection to the endpoint", False)
    with serve(Reply(hang=True)) as server:
        found = fault(server, provider, timeout=0.2)
    assert (found.reason, found.billed) == ("the endpoint did not answer in time", True)


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize("status", [401, 403, 404, 400, 402])
def test_what_stays_is_one_line_without_a_secret(monkeypatch: pytest.MonkeyPatch, provider: str, status: int) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    with serve(error(status, f"no: {SECRET}\nand\x1b[2J more")) as server:
        (found,) = ask(server, request(), provider=provider, api_key_env="MY_KEY")
    assert isinstance(found, BadInput)
    assert SECRET not in str(found)
    assert str(found).isprintable()
    assert len(server.seen) == 1


@pytest.mark.parametrize("provider", list(PROVIDERS))
@pytest.mark.parametrize(
    "reply",
    [
        error(400, "This model's maximum context length is 4096 tokens", "context_length_exceeded"),
        error(400, "request (3031 tokens) exceeds the available context size (1024 tokens), try increasing it"),
        error(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        error(413, "request too large"),
    ],
)
def test_a_prompt_that_does_not_fit_is_a_failure_of_its_own(provider: str, reply: Reply) -> None:
    with serve(reply) as server:
        assert ask(server, request(), provider=provider) == [
            not_billed("the prompt does not fit into the model's context", "too-long")
        ]


@pytest.mark.parametrize("reply", [error(402, "pay"), error(400, "Your credit balance is too low to access the API"),
                                   error(429, "quota", "insufficient_quota")])  # fmt: skip
def test_no_credit_is_said(reply: Reply) -> None:
    with serve(reply) as server:
        (found,) = ask(server, request())
    assert isinstance(found, BadInput)
    assert "out of credit" in str(found)


def test_a_moderated_prompt_is_a_refusal_and_not_a_wrong_key() -> None:
    body = b'{"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "x", "reasons": []}}}'
    with serve(Reply(403, body)) as server:
        assert ask(server, request()) == [not_billed("refused by the endpoint's content filter", "refusal")]


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_as_many_requests_are_in_flight_as_may_be(provider: str) -> None:
    many = 130  # more than aiohttp's own limit of 100
    gate = threading.Barrier(many)

    def behave(body: dict[str, Any]) -> Reply:
        gate.wait(timeout=10)  # nobody is answered before everybody has asked
        return PROVIDERS[provider]

    with serve(behave=behave) as server:
        asked = [request(str(n)) for n in range(many)]
        answers = ask(server, *asked, provider=provider, concurrency=many, timeout=20.0)
    assert all(isinstance(answer, Response) for answer in answers)


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_connections_are_used_again(provider: str) -> None:
    async def go(llm: Llm) -> None:
        client = open_provider(llm)
        for n in range(10):
            assert isinstance(await client.complete(request(str(n))), Response)
        await client.aclose()

    with serve(behave=lambda body: PROVIDERS[provider]) as server:
        url = server.url if provider == "openai" else server.url.removesuffix("/v1")
        asyncio.run(go(Llm(provider=provider, model="m", base_url=url)))
    assert len(server.seen) == 10
    assert len(set(server.clients)) == 1


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_a_base_url_with_password_and_query_works_and_shows_neither(provider: str) -> None:
    with serve(PROVIDERS[provider], error(404, "user wordy1 xyz99")) as server:
        server.url = server.url.replace("http://", "http://user:wordy1@")
        suffix = "/v1" if provider == "openai" else ""
        url = f"{server.url.removesuffix('/v1')}{suffix}?token=xyz99"
        llm = Llm(provider=provider, model="m", base_url=url)

        async def go() -> tuple[Answer, str, BaseException]:
            client = open_provider(llm)
            answer = await client.complete(request())
            with pytest.raises(BadInput) as caught:
                await client.complete(request())
            await client.aclose()
            return answer, client.identity, caught.value

        answer, identity, refused = asyncio.run(go())
    assert isinstance(answer, Response)
    assert server.seen[0]["path"].endswith("?token=xyz99")
    assert server.seen[0]["authorization"] == "Basic dXNlcjp3b3JkeTE="
    assert "user" not in identity
    assert "?" not in identity
    assert "wordy1" not in str(refused)
    assert "xyz99" not in str(refused)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/v1", "http://", "http://127.0.0.1:99999", "http://a b"])
@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_a_base_url_that_is_no_address(provider: str, url: str) -> None:
    with pytest.raises(BadInput, match="is no address"):
        open_provider(Llm(provider=provider, model="m", base_url=url))


def test_a_password_and_a_key_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", SECRET)
    with pytest.raises(BadInput, match="takes one of them"):
        open_provider(Llm(provider="openai", model="m", base_url="http://u:p@127.0.0.1/v1", api_key_env="MY_KEY"))


def test_the_account_is_not_told_to_an_endpoint_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")
    with serve(chat("yes")) as server:
        assert isinstance(ask(server, request())[0], Response)
    assert not [value for value in server.headers[0].values() if "of-mine" in value]


def test_a_completion_that_is_cut_is_a_failure() -> None:
    usage = b'{"prompt_tokens": 2, "completion_tokens": 1}'
    body = b'{"choices": [{"text": " so", "finish_reason": "length"}], "usage": %b}' % usage
    with serve(Reply(body=body)) as server:
        assert ask(server, completion("And")) == [Failure("the answer was cut at max_tokens", "length", " so", 2, 1)]
