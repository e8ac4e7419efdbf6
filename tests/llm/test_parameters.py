"""What a study wants sent beside each request, and the room that it gives a model to think."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.address import identity
from autointerp.llm.anthropic.batches import AnthropicBatches
from autointerp.llm.budget.account import MOST_CUT, Usage
from autointerp.llm.budget.counting import CountingAsker, Tally
from autointerp.llm.capabilities import Needs, known, missing
from autointerp.llm.check import check
from autointerp.llm.ledger.ledger import Ledger, open_ledger
from autointerp.llm.open import Mode, open_asker
from autointerp.llm.openai.batches import OpenAIBatches
from autointerp.llm.openai.dialect import Dialect
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Answer, Request, Response
from autointerp.run.hashed import llm_of
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.study_models import Budget, Llm
from tests.llm.doubles import Counter, Reply, Server, chat, completion, error, message, request, serve

SECRET = "sk-hidden-0123456789"
EXTRA = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}
ASK = Mode()
PROVIDERS: dict[str, Callable[[str], Reply]] = {"openai": lambda text: chat(text), "anthropic": lambda t: message(t)}


def at(server: Server, provider: str = "openai", **more: Any) -> Llm:
    url = server.url if provider == "openai" else server.url.removesuffix("/v1")
    return Llm.model_validate({"provider": provider, "model": "m", "base_url": url, "attempts": 1, **more})


@contextmanager
def books(path: Path) -> Iterator[Ledger]:
    with open_ledger(path / "ledger.sqlite") as ledger:
        yield ledger


def asked(llm: Llm, path: Path, *requests: Request, mode: Mode = ASK, usage: Usage | None = None) -> list[Answer]:
    with books(path) as ledger, open_asker(llm, ledger, usage or Usage(), "explain", mode) as asker:
        return ask_all(asker, requests, Counter())


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_everything_is_sent_with_each_request(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", SECRET)
    more = {"top_p": 0.9, "extra_body": EXTRA, "headers": {"X-Api-Key": "$GATE", "X-Title": "ours"}}
    with serve(PROVIDERS[provider]("yes"), PROVIDERS[provider]("yes")) as server:
        llm = at(server, provider, thinking_tokens=100, **more)
        assert len(asked(llm, tmp_path, request("a", max_tokens=8), request("b", max_tokens=9))) == 2
    assert sorted(seen["max_tokens"] for seen in server.seen) == [108, 109]
    for seen, headers in zip(server.seen, server.headers, strict=True):
        assert (seen["top_p"], seen["top_k"], seen["chat_template_kwargs"]) == (0.9, 20, {"enable_thinking": False})
        assert (headers["x-api-key"], headers["x-title"]) == (SECRET, "ours")
    assert SECRET not in identity(llm)
    assert SECRET not in (tmp_path / "ledger.sqlite").read_bytes().decode("latin1")


def test_only_chats_know_a_reasoning_effort_and_what_is_given_takes_our_place(tmp_path: Path) -> None:
    text = Reply(body=b'{"choices": [{"index": 0, "text": " yes", "finish_reason": "stop"}]}')
    with serve(behave=lambda body: chat("yes") if "messages" in body else text) as server:
        llm = at(server, reasoning_effort="low", extra_body={"temperature": 1.0, "seed": 7})
        asked(llm, tmp_path, request("a"), completion("b"))
    of_chat, of_text = sorted(server.seen, key=lambda seen: "messages" not in seen)
    assert of_chat["reasoning_effort"] == "low"
    assert "reasoning_effort" not in of_text
    assert (of_chat["temperature"], of_chat["seed"]) == (of_text["temperature"], of_text["seed"]) == (1.0, 7)


def test_batches_hold_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 20)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k" * 20)
    common = {"model": "m", "top_p": 0.5, "extra_body": {"service_tier": "flex"}}
    openai = OpenAIBatches(Llm.model_validate({"provider": "openai", "reasoning_effort": "high", **common}))
    anthropic = AnthropicBatches(Llm.model_validate({"provider": "anthropic", **common}))
    body = openai.line("1", request())["body"]
    assert (body["top_p"], body["service_tier"], body["reasoning_effort"]) == (0.5, "flex", "high")
    params = anthropic.line("1", request())["params"]
    assert (params["top_p"], params["service_tier"]) == (0.5, "flex")
    openai.close()
    anthropic.close()


def test_an_answer_is_kept_for_the_parameters_that_it_was_given_under(tmp_path: Path) -> None:
    """Each of them, and the room to think, makes another question; without any, old ledgers are as good as before."""
    with serve(behave=lambda body: chat(str(body.get("top_p")))) as server:
        plain = at(server)
        variants = [
            plain, at(server, top_p=0.5), at(server, top_p=0.6), at(server, reasoning_effort="low"),
            at(server, extra_body={"a": 1}), at(server, headers={"X-Title": "t"}), at(server, thinking_tokens=5),
        ]  # fmt: skip
        for llm in variants:
            (answer,) = asked(llm, tmp_path, request())
            assert not answer.cached
        assert len(server.seen) == len(variants)
        for llm in variants:
            (answer,) = asked(llm, tmp_path, request(), mode=Mode(replay=True))
            assert answer.cached
    assert identity(plain) == f"openai {server.url}"
    assert llm_of(plain).keys() == {"provider", "model", "temperature", "max_tokens", "reasks", "base_url"}
    assert len({str(llm_of(llm)) for llm in variants}) == len(variants)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"top_p": 0.5}, "top_p: of endpoints alone, and provider = 'local' asks none"),
        (
            {"provider": "openai", "headers": {"Authorization": "Bearer abc"}},
            "header 'Authorization' may hold a secret",
        ),
        ({"provider": "openai", "headers": {"X Y": "a"}}, "a header's name may hold letters"),
        ({"provider": "openai", "headers": {"X-Y": "a\nb"}}, "holds a character that no header may hold"),
        ({"provider": "openai", "extra_body": {"messages": []}}, "extra_body holds 'messages', which is not for it"),
        ({"provider": "openai", "extra_body": {"stream": True}}, "extra_body holds 'stream'"),
        ({"provider": "anthropic", "reasoning_effort": "low"}, "reasoning_effort is none of Anthropic's parameters"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        parse_study({"llm": {"explainer": settings}})
    assert "\n" not in str(caught.value)
    assert "Bearer abc" not in str(caught.value)


def test_a_header_whose_variable_is_empty_is_named_before_any_call(tmp_path: Path) -> None:
    with serve() as server:
        llm = at(server, headers={"X-Api-Key": "$NOT_THERE"})
        with pytest.raises(BadInput, match=r"header 'X-Api-Key' of model 'm': \$NOT_THERE is not set"):
            asked(llm, tmp_path, request())
    assert server.seen == []


def test_a_stored_study_holds_the_variables_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", SECRET)
    settings = {"provider": "openai", "headers": {"X-Api-Key": "$GATE"}, "extra_body": EXTRA}
    study: Study = parse_study({"llm": {"explainer": settings}})
    text = dump_study(study)
    assert "$GATE" in text
    assert SECRET not in text
    assert parse_study(tomllib.loads(text)).llm["explainer"] == study.llm["explainer"]


def test_a_refused_parameter_of_the_study_is_no_matter_of_dialect(tmp_path: Path) -> None:
    """What the study asks for is not left out behind its back."""
    words = "Unknown parameter: 'reasoning_effort'"
    with serve(behave=lambda body: error(400, words)) as server, pytest.raises(BadInput, match=words):
        asked(at(server, reasoning_effort="low"), tmp_path, request())
    assert len(server.seen) == 1


def test_the_room_to_think_is_in_the_estimate_and_in_the_budget(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        tally = Tally()
        counting = CountingAsker(ledger, "x", Llm(thinking_tokens=1000), lambda asked: 1, tally)
        list(counting.stream([request("a", max_tokens=8), request("b", max_tokens=8)]))
    assert tally.output_tokens == 2016
    with serve(chat("yes")) as server:
        usage = Usage(None, Budget(limit_tokens=1000))
        with pytest.raises(BudgetReached, match=r"stopped by budget.limit_tokens = 1,000"):
            asked(at(server, thinking_tokens=2000), tmp_path, request(), usage=usage)
    assert server.seen == []


def test_a_probe_that_was_cut_while_the_model_thought_says_so() -> None:
    def behave(body: dict[str, Any]) -> Reply:
        if "chat" not in body["path"]:
            return error(404)
        if body["max_tokens"] < 500:
            return chat("<think>The user asks", "length")
        return chat('<think>The user asks</think>\n{"word": "Paris"}')

    needs = Needs(top_logprobs=1)
    with serve(behave=behave) as server:
        rows = dict(check(at(server), "explainer").rows)
        cut = known(at(server))
        assert cut is not None
        told = "unknown: its answer was cut while it thought; set thinking_tokens"
        assert rows["JSON mode"] == rows["chat logprobs"] == told
        assert "was cut while it thought: ask again with llm.NAME.thinking_tokens" in (missing(needs, cut) or "")
        rows = dict(check(at(server, thinking_tokens=500), "explainer").rows)
    assert (rows["JSON mode"], rows["JSON schema"], rows["chat logprobs"]) == ("yes", "yes", "no")


def test_a_stage_whose_answers_are_all_cut_stops_with_the_remedy(tmp_path: Path) -> None:
    requests = [request(str(number)) for number in range(3 * MOST_CUT)]
    with serve(behave=lambda body: chat("", "length", reasoning_content="hm")) as server:
        says = f"all of the first {MOST_CUT} answers of model 'm' in stage explain"
        with pytest.raises(BadInput, match=says) as told:
            asked(at(server, concurrency=1), tmp_path, *requests)
        assert "llm.NAME.thinking_tokens" in str(told.value)
        assert "while the model reasoned" in str(told.value)
        assert MOST_CUT <= len(server.seen) <= MOST_CUT + 2  # what was on its way
    with serve(behave=lambda body: chat("yes" if body["messages"][0]["content"] == "0" else "", "length")) as server:
        found = asked(at(server), tmp_path / "other", request("0", beginning=True), *requests[1:])
    assert isinstance(found[0], Response)
    assert len(found) == len(requests)


def test_a_run_begins_with_the_dialect_that_the_probe_found(tmp_path: Path) -> None:
    """This endpoint refuses `seed` without a word on what it is about: the probe tries, a run would only stop."""

    def behave(body: dict[str, Any]) -> Reply:
        if "chat" not in body["path"]:
            return error(404)
        if "seed" in body or "response_format" in body or "logprobs" in body:
            return error(400, "Provider returned error")
        return chat("Paris.")

    with serve(behave=behave) as server:
        with pytest.raises(BadInput, match="Provider returned error"):
            asked(at(server), tmp_path, request())
        assert check(at(server), "explainer").problem is None
        before = len(server.seen)
        (answer,) = asked(at(server), tmp_path, request())
        assert isinstance(answer, Response)
        assert len(server.seen) == before + 1
        # Another set of parameters is another endpoint to the probe's memory.
        with pytest.raises(BadInput, match="Provider returned error"):
            asked(at(server, top_p=0.5), tmp_path, request())


@pytest.mark.parametrize("found", [None, {}, {"dropped": 3}, {"limit": "other"}, {"unknown": 1}, []])
def test_what_can_not_be_understood_of_a_dialect_is_the_documented_one(found: Any) -> None:
    recalled = Dialect.recalled(found)
    assert recalled == Dialect() or found == {"unknown": 1}
    own = Dialect(frozenset({"seed", "stop"}), "max_completion_tokens", 5, "echo", "schema", system=False)
    assert Dialect.recalled(own.remembered()) == own
