"""What endpoints can do: probed, remembered, shown."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.capabilities import QUESTION, Capabilities, known, recall, remember
from autointerp.llm.check import Checked, check
from autointerp.llm.client import Probe
from autointerp.llm.open import Mode, identity_of, open_provider
from autointerp.llm.providers import PROVIDERS
from autointerp.llm.request import Answer, Request, Response
from autointerp.run.checks import find_capabilities
from autointerp.run.resources import Resources
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from tests.llm.doubles import Reply, Server, chat, error, message, serve
from tests.llm.llama import llama

Body = dict[str, Any]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))


def llm_at(server: Server, **more: object) -> Llm:
    return Llm.model_validate({"provider": "openai", "model": "m", "base_url": server.url, "timeout": 5.0, **more})


def probe(llm: Llm) -> Capabilities:
    async def go() -> Capabilities:
        provider = open_provider(llm)
        try:
            found = (await provider.probe()).found
            if isinstance(found, BadInput):
                raise found
            return found
        finally:
            await provider.aclose()

    return asyncio.run(go())


def whole_chat(body: Body) -> Reply:
    """A server with everything: as many alternatives as asked, JSON enforced, vLLM's prompt log-probabilities."""
    if body["path"] == "/v1/completions":
        ranks = {str(n): {"logprob": -n, "rank": n, "decoded_token": f" {n}"} for n in range(body["prompt_logprobs"])}
        choice = {"text": " x", "finish_reason": "length", "prompt_logprobs": [None, ranks]}
        return Reply(
            body=json.dumps({"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}).encode()
        )
    form = body.get("response_format", {}).get("type")
    text = {"json_schema": '{"word": "Paris"}', "json_object": '{"capital": "Paris"}'}.get(form, "Paris.")
    reply = json.loads(chat(text).body)
    if "logprobs" in body:
        top = [{"token": str(n), "logprob": -n} for n in range(body["top_logprobs"])]
        reply["choices"][0]["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]}
    return Reply(body=json.dumps(reply).encode())


def models(*entries: Body) -> Reply:
    return Reply(body=json.dumps({"object": "list", "data": list(entries)}).encode())


def test_a_server_with_everything_in_three_calls() -> None:
    with serve(behave=whole_chat, models=models({"id": "x"}, {"id": "m", "max_model_len": 4096})) as server:
        found = probe(llm_at(server))
    assert (found.top_logprobs, found.prompt_logprobs, found.json_object, found.seed) == (20, 20, True, True)
    assert found.json_schema
    assert (found.model, found.context, found.whole_distribution) == ("m", 4096, False)
    assert found.latency
    assert found.tokens_per_second == pytest.approx(3 / found.latency)
    assert len(server.seen) == 2
    assert len(server.headers) == 3


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("lacking", ["logprobs", "response_format", "seed"])
def test_one_thing_that_is_refused_is_the_one_that_is_missing(lacking: str, named: bool) -> None:
    def behave(body: Body) -> Reply:
        if lacking in body:
            return error(400, f"no {lacking}, please" if named else "no")
        return whole_chat(body)

    with serve(behave=behave) as server:
        found = probe(llm_at(server))
    has = {"logprobs": bool(found.top_logprobs), "response_format": found.json_object, "seed": found.seed}
    assert not has.pop(lacking)
    if named:
        assert all(has.values())


def test_a_json_mode_without_schemas() -> None:
    def behave(body: Body) -> Reply:
        wanted = body.get("response_format", {"type": "json_object"})
        return error(400, "no json_schema here") if wanted != {"type": "json_object"} else whole_chat(body)

    with serve(behave=behave) as server:
        found = probe(llm_at(server))
    assert (found.json_object, found.json_schema) == (True, False)


def test_what_is_taken_and_ignored_does_not_count() -> None:
    """A gateway that answers every field with the same prose, and has no path for completions."""

    def behave(body: Body) -> Reply:
        return chat("Paris.") if "chat" in body["path"] else Reply(500, b"oops")

    with serve(behave=behave) as server:
        found = probe(llm_at(server))
    assert (found.top_logprobs, found.prompt_logprobs, found.json_object, found.context) == (0, 0, False, None)
    assert not found.json_schema
    assert found.seed


def test_a_base_model_without_chats() -> None:
    def behave(body: Body) -> Reply:
        return error(400, "no chat template") if "chat" in body["path"] else whole_chat(body)

    with serve(behave=behave) as server:
        found = probe(llm_at(server))
    assert (found.top_logprobs, found.prompt_logprobs) == (0, 20)


@pytest.mark.parametrize(
    ("entry", "context"),
    [
        ({"id": "m", "context_length": 8192}, 8192),
        ({"id": "file.gguf", "meta": {"n_ctx": 1024, "n_ctx_train": 8192}}, 1024),
        ({"id": "file.gguf", "meta": {"n_ctx_train": 8192}}, 8192),
        ({"id": "m", "max_model_len": "many", "meta": 3}, None),
    ],
)
def test_the_context_length_by_the_list_of_models(entry: Body, context: int | None) -> None:
    with serve(behave=whole_chat, models=models(entry)) as server:
        assert probe(llm_at(server)).context == context


@pytest.mark.parametrize(
    ("reply", "says"),
    [(error(401), "refuses the key"), (error(404, "no model 'm'"), "no model 'm'"), (error(429), "answered 429")],
)
def test_a_check_of_what_can_not_be_asked(reply: Reply, says: str) -> None:
    with serve(behave=lambda body: reply) as server:
        checked = check(llm_at(server), "explainer")
    assert checked.problem is not None
    assert says in str(checked.problem)
    assert "\n" not in str(checked.problem)
    assert dict(checked.rows)["reachable"].startswith("no: ")
    assert known(llm_at(server)) is None


BILLED = [
    (error(500), True),
    (Reply(body=b'{"choices": ['), True),
    (Reply(hang=True), True),
    (chat("half", "abort"), True),
    (error(429), False),
    (error(401), False),
    (error(400), False),
    (error(404), False),
]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(("reply", "billed"), BILLED, ids=lambda value: str(getattr(value, "status", value)))
def test_whether_a_failed_check_may_have_been_billed(reply: Reply, billed: bool, provider: str) -> None:
    with serve(behave=lambda body: reply) as server:
        url = server.url if provider == "openai" else server.url.removesuffix("/v1")
        checked = check(llm_at(server, base_url=url, provider=provider, timeout=0.5), "explainer")
    assert checked.problem is not None
    assert (checked.billed, checked.answers) == (billed, ())


def test_a_try_that_may_have_been_billed_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.0)
    for last, answers in ((error(401), 0), (chat("Paris."), 1)):
        with serve(error(500), last, error(404)) as server:
            checked = check(llm_at(server), "explainer", attempts=3)
        assert (len(checked.answers), checked.billed) == (answers, True)


@pytest.mark.parametrize(("reply", "billed"), [(error(404), False), (error(502), True), (Reply(hang=True), True)])
@pytest.mark.parametrize("chats", [True, False])
def test_a_completion_that_was_not_answered_may_have_been_billed(reply: Reply, billed: bool, chats: bool) -> None:
    def behave(body: Body) -> Reply:
        if "chat" not in body["path"]:
            return reply
        return chat("Paris.") if chats else error(404)

    with serve(behave=behave) as server:
        checked = check(llm_at(server, timeout=0.5), "explainer")
    assert (len(checked.answers), checked.problem is None, checked.billed) == (chats, chats, billed)


def test_a_whole_check_costs_its_answers_and_no_more() -> None:
    with serve(behave=whole_chat) as server:
        checked = check(llm_at(server), "explainer")
    assert not checked.billed


def test_a_check_inside_a_running_loop() -> None:
    async def notebook() -> Checked:
        return check(llm_at(server), "explainer")

    with serve(behave=whole_chat) as server:
        assert asyncio.run(notebook()).problem is None
    assert not [thread for thread in threading.enumerate() if thread.name == "autointerp-aside"]


class Foreign:
    """A provider of another package: its identity is its own affair."""

    takes_turns = False

    def __init__(self, llm: Llm) -> None:
        self.identity = "acme https://acme.example"

    async def complete(self, request: Request) -> Answer:
        return Response("yes", 1, 1)

    async def probe(self) -> Probe:
        asked = await self.complete(Request(QUESTION, "m", 32, 0.0, 0))
        return Probe(Capabilities("Acme, Inc.", "m-2025-01", top_logprobs=7), (asked, Response("no", 40, 2)))

    async def aclose(self) -> None:
        pass


class Undeclared(Foreign):
    """One of before `Probe`, that says nothing of what its probe was answered."""

    async def probe(self) -> Any:
        return Capabilities("Acme, Inc.", "m-2025-01", top_logprobs=7)


class Lacking:
    """Not all of the protocol."""

    identity = "acme https://acme.example"

    def __init__(self, llm: Llm) -> None:
        pass


def _registered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("acme", f"{__name__}:{name}", PROVIDERS.group)
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: [point] if group == PROVIDERS.group else [])


@pytest.mark.parametrize(
    ("name", "tokens", "problem"),
    [("Foreign", 1 + 1 + 40 + 2, None), ("Undeclared", 4400, "the probe of provider 'acme' gives a Capabilities")],
)
def test_a_provider_of_another_package_pays_for_its_probe(
    name: str, tokens: int, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the answers say, where they are handed over; else the most that a probe may have cost."""
    _registered(name, monkeypatch)
    settings = {"provider": "acme", "model": "m", "input_usd": 1.0, "output_usd": 1.0}
    study = parse_study({"llm": {"explainer": settings}, "simulate": {"method": "digits-output", "llm": "explainer"}})
    with closing(Resources(study, tmp_path, Mode())) as resources:
        if problem is None:
            find_capabilities(resources, None)
        else:
            with pytest.raises(BadInput, match=problem):
                find_capabilities(resources, None)
        (row,) = [row for row in resources.usage.rows() if row.stage == "check"]
    assert row.input_tokens + row.output_tokens == tokens
    assert row.cost_usd == pytest.approx(tokens / 1e6)


def test_a_provider_that_is_none_is_refused_by_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    _registered("Lacking", monkeypatch)
    with pytest.raises(BadInput, match="provider 'acme' lacks 'aclose', 'complete', 'probe', 'takes_turns'"):
        open_provider(Llm(provider="acme", model="m"))


def test_a_provider_of_another_package_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    _registered("Foreign", monkeypatch)
    llm = Llm(provider="acme", model="m")
    assert known(llm, identity_of(llm)) is None
    checked = check(llm, "x")
    assert (checked.problem, checked.billed) == (None, False)
    found = known(llm, identity_of(llm))
    assert found is not None
    assert (found.endpoint, found.model, found.top_logprobs) == ("acme https://acme.example", "m", 7)


def test_a_check_of_what_is_down() -> None:
    checked = check(Llm(provider="openai", model="m", base_url="http://127.0.0.1:9/v1"), "explainer")
    assert dict(checked.rows)["reachable"] == "no: no connection to the endpoint"
    assert isinstance(checked.problem, BadInput)
    assert not checked.billed


def test_a_check_shows_what_it_found_and_remembers_it() -> None:
    with serve(behave=whole_chat, models=models({"id": "m", "max_model_len": 4096})) as server:
        llm = llm_at(server, input_usd=2.0, cached_input_usd=0.5, output_usd=8.0)
        assert known(llm) is None
        checked = check(llm, "explainer")
        found = known(llm)
    assert checked.problem is None
    rows = dict(checked.rows)
    assert rows["reachable"] == f"yes: openai {server.url}"
    assert rows["chat logprobs"] == rows["prompt logprobs"] == "yes: 20 per token"
    assert (rows["JSON mode"], rows["seed"], rows["context length"]) == ("yes", "yes", "4,096 tokens")
    assert rows["price"] == "$2 input, $0.5 cached input, $8 output per million tokens"
    assert rows["this check used"] == "13 prompt tokens and 4 answer tokens, in 2 calls"
    assert sum(answer.input_tokens or 0 for answer in checked.answers) == 13
    assert found is not None
    assert (found.endpoint, found.model, found.prompt_logprobs) == (f"openai {server.url}", "m", 20)


def test_an_unknown_price_is_said_to_be_unknown() -> None:
    with serve(behave=lambda body: chat("Paris.")) as server:
        assert dict(check(llm_at(server), "x").rows)["price"].startswith("unknown")


def test_anthropic() -> None:
    with serve(message("Paris."), models=Reply(body=b'{"id": "m", "max_input_tokens": 200000}')) as server:
        llm = llm_at(server, provider="anthropic", base_url=server.url.removesuffix("/v1"))
        before = known(llm)
        rows = dict(check(llm, "x").rows)
        after = known(llm)
    assert before == Capabilities(f"anthropic {llm.base_url}", "m")
    assert (rows["chat logprobs"], rows["JSON mode"], rows["seed"]) == ("no", "no", "no")
    assert rows["context length"] == "200,000 tokens"
    assert after is not None
    assert after.context == 200_000


def test_what_is_remembered_is_per_endpoint_and_model_and_survives_damage(tmp_path: Path) -> None:
    one = Capabilities("openai http://a", "m", top_logprobs=5, latency=0.25)
    two = Capabilities("openai http://b", "m", json_object=True)
    remember(one)
    remember(two)
    assert (recall("openai http://a", "m"), recall("openai http://b", "m")) == (one, two)
    assert recall("openai http://a", "n") is None
    for file in (tmp_path / "cache").rglob("*.json"):
        if json.loads(file.read_text())["endpoint"] == "openai http://a":
            file.write_text('{"endpoint": "openai http://a", "model": "m", "top_logprobs": "ma')
        else:
            file.write_text('{"endpoint": "openai http://b", "model": "m", "top_logprobs": "many"}')
    assert recall("openai http://a", "m") is None
    assert recall("openai http://b", "m") is None


def test_a_cache_that_can_not_be_written_is_said_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "file"))
    remember(Capabilities("e", "m"))
    assert "is not remembered" in capsys.readouterr().err
    assert recall("e", "m") is None


def test_a_model_in_the_process_has_everything() -> None:
    found = known(Llm())
    assert found is not None
    assert found.whole_distribution
    assert (found.top_logprobs, found.prompt_logprobs) == (20, 20)


@pytest.mark.offline_model
def test_a_real_server_is_probed() -> None:
    with llama(1024) as url:
        llm = Llm(provider="openai", model="m", base_url=url)
        checked = check(llm, "explainer")
    found = known(llm)
    assert found is not None
    assert (found.top_logprobs, found.prompt_logprobs) == (20, 0)
    assert (found.json_object, found.json_schema, found.seed, found.context) == (True, True, True, 1024)
    assert dict(checked.rows)["prompt logprobs"] == "no"


@pytest.mark.offline_model
def test_a_check_of_the_model_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOINTERP_CACHE")
    rows = dict(check(Llm(), "explainer").rows)
    assert rows["chat logprobs"] == rows["prompt logprobs"] == "yes: the whole vocabulary"
    assert rows["context length"] == "8,192 tokens"
    assert rows["price"] == "nothing: it runs in this process"
    assert float(rows["tokens per second"]) > 0
