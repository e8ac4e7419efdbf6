from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.batch.interface import Limits
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.prices import worst_case
from autointerp.llm.budget.purse import Purse
from autointerp.llm.client import Asker
from autointerp.llm.open import open_provider
from autointerp.llm.providers import PROVIDERS
from autointerp.llm.request import Failure, Request, Response
from autointerp.study_models import Budget, Llm
from tests.llm.batch.standin import ANSWER_TOKENS, KEY, PROMPT_TOKENS, StandIn, openai_answer
from tests.llm.batch.workshop import answers, asking, asks, endpoint, spent, texts

_EACH = (PROMPT_TOKENS * 2.0 + ANSWER_TOKENS * 8.0) / 1e6 / 2
"""Dollars per answer: half the price."""


def _texts(requests: list[Request]) -> list[str]:
    return [f"echo {request.messages[-1][1]}" for request in requests]


def test_a_stage_goes_through_one_batch_at_half_the_price(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm, requests = endpoint(provider, server.url), asks()
    found = answers(llm, tmp_path, requests)
    assert found == [Response(text, PROMPT_TOKENS, ANSWER_TOKENS) for text in _texts(requests)]
    assert len(server.batches) == 1
    assert server.steps.count("download") == 1
    tokens, dollars = spent(tmp_path)
    assert tokens == 7 * (PROMPT_TOKENS + ANSWER_TOKENS)
    assert dollars == pytest.approx(7 * _EACH)


def test_what_the_ledger_holds_is_served_without_a_word_to_the_endpoint(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    llm = endpoint(provider, server.url)
    first = answers(llm, tmp_path, asks(3))
    steps = len(server.steps)
    again = answers(llm, tmp_path, asks(3))
    assert texts(again) == texts(first)
    assert all(answer.cached for answer in again)
    assert len(server.steps) == steps
    answers(llm, tmp_path, asks(5))
    assert sorted(server.accepted().values()) == [1] * 5


def test_equal_requests_are_handed_in_once(provider: str, server: StandIn, tmp_path: Path) -> None:
    one, two = asks(2)
    found = answers(endpoint(provider, server.url), tmp_path, [one, two, one])
    assert server.accepted().total() == 2
    assert [answer.cached for answer in found] == [False, False, True]
    first, _, third = texts(found)
    assert first == third


def test_answers_serve_the_provider_that_answers_at_once_and_the_other_way_round(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    llm = endpoint(provider, server.url)
    with asking(llm, tmp_path) as asker:
        assert isinstance(asker, Asker)
        assert asker.identity == open_provider(llm).identity
        assert asker.reasks == llm.reasks


@pytest.mark.parametrize(("limits", "sizes"), [(Limits(3, 10**9), [3, 3, 1]), (Limits(100, 900), None)])
def test_a_stage_is_cut_into_batches_within_the_limits(
    provider: str, server: StandIn, tmp_path: Path, limits: Limits, sizes: list[int] | None
) -> None:
    requests = asks()
    found = answers(endpoint(provider, server.url), tmp_path, requests, limits=limits)
    assert texts(found) == _texts(requests)
    made = [len(batch.lines) for batch in server.batches]
    assert made == sizes if sizes else 1 < len(made) < 7
    assert set(server.accepted().values()) == {1}


def test_chats_and_completions_go_into_batches_of_their_own(tmp_path: Path, openai_server: StandIn) -> None:
    text = Request((("", "Once upon"),), "m", 8, 0.0, 0)
    found = answers(endpoint("openai", openai_server.url), tmp_path, [*asks(2), text])
    assert found[2] == Response("echo Once upon", PROMPT_TOKENS, ANSWER_TOKENS)
    assert sorted(batch.route for batch in openai_server.batches) == ["/v1/chat/completions", "/v1/completions"]


def test_anthropic_takes_no_completions(tmp_path: Path, anthropic_server: StandIn) -> None:
    text = Request((("", "Once upon"),), "m", 8, 0.0, 0)
    with pytest.raises(BadInput, match="takes chats only"):
        answers(endpoint("anthropic", anthropic_server.url), tmp_path, [text])
    assert not anthropic_server.steps


def test_what_fits_the_budget_is_handed_in_and_kept(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm, requests = endpoint(provider, server.url), asks()
    limit = 3 * worst_case(requests[0]).total + 1
    found = {}
    with asking(llm, tmp_path, Budget(limit_tokens=limit)) as asker, pytest.raises(BudgetReached, match="limit_tokens"):
        for place, answer in asker.stream(requests):
            found[place] = answer
    assert sorted(found) == [0, 1, 2]
    assert server.accepted().total() == 3
    assert spent(tmp_path)[0] == 3 * (PROMPT_TOKENS + ANSWER_TOKENS)
    rest = answers(llm, tmp_path, requests, budget=Budget(limit_tokens=10**6))
    assert [answer.cached for answer in rest] == [True] * 3 + [False] * 4
    assert set(server.accepted().values()) == {1}


def test_the_limit_in_dollars_counts_half_the_price(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm = endpoint(provider, server.url)
    account = Usage()
    Purse(account, "explain", llm).reserve(asks()[0])
    half = account.spent()[1] / 2
    account.close()
    with asking(llm, tmp_path, Budget(limit_usd=4.5 * half)) as asker, pytest.raises(BudgetReached, match="limit_usd"):
        list(asker.stream(asks()))
    assert server.accepted().total() == 4


def test_ctrl_c_leaves_the_batch_to_the_next_command(
    provider: str, server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    llm = endpoint(provider, server.url)
    with asking(llm, tmp_path, sleep=interrupt) as asker, pytest.raises(KeyboardInterrupt):
        list(asker.stream(asks()))
    assert "the same command takes up from there" in capsys.readouterr().err
    found = answers(llm, tmp_path, asks())
    assert texts(found) == _texts(asks())
    assert len(server.batches) == 1
    assert "not collected yet" not in capsys.readouterr().err


def test_a_batch_of_another_stage_is_collected_once_it_is_ready(provider: str, server: StandIn, tmp_path: Path) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    llm = endpoint(provider, server.url)
    with asking(llm, tmp_path, sleep=interrupt) as asker, pytest.raises(KeyboardInterrupt):
        list(asker.stream(asks(2)))
    other = Request((("user", "something else"),), "m", 8, 0.0, 0)
    server.batches[0].polls = 0
    answers(llm, tmp_path, [other])  # not waited for: it had not ended when this stage began
    assert server.batches[0].polls == 1
    server.batches[0].polls = server.polls
    answers(llm, tmp_path, [other, Request((("user", "and more"),), "m", 8, 0.0, 0)])
    steps = len(server.steps)
    assert all(answer.cached for answer in answers(llm, tmp_path, asks(2)))
    assert len(server.steps) == steps


def test_the_wait_is_told_and_grows(
    provider: str, server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.polls = 20
    slept: list[float] = []
    answers(endpoint(provider, server.url), tmp_path, asks(), sleep=slept.append)
    assert slept[:3] == [5.0, 7.5, 11.25]
    assert slept == sorted(slept)
    assert max(slept) == 60.0
    lines = [line for line in capsys.readouterr().err.splitlines() if "waiting for batches" in line]
    assert "0 of 7 requests done" in lines[0]
    assert len(lines) <= 1 + sum(slept) / 60


@pytest.mark.parametrize("provider", ["local", "of-somebody-else"])
def test_other_providers_have_no_batch_interface(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("of-somebody-else", "builtins:dict", PROVIDERS.group)
    monkeypatch.setattr("autointerp.registry.entry_points", lambda group: [point] if group == PROVIDERS.group else [])
    with pytest.raises(BadInput, match=r"has no batch interface: .*anthropic, openai"):
        answers(Llm(provider=provider, model="m"), tmp_path, [])


def test_a_missing_key_is_told_before_anything_is_written(
    provider: str, server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY_OF_THE_TESTS")
    with pytest.raises(BadInput, match="KEY_OF_THE_TESTS is not set"):
        answers(endpoint(provider, server.url), tmp_path, asks())
    assert not (tmp_path / "batches.sqlite").exists()


def test_a_wrong_key_ends_it_at_once(provider: str, server: StandIn, tmp_path: Path) -> None:
    server.key = "another"
    with pytest.raises(BadInput, match="refuses the key") as caught:
        answers(endpoint(provider, server.url), tmp_path, asks())
    assert len(server.steps) == 1
    assert KEY not in str(caught.value)
    assert spent(tmp_path)[0] == 0


def test_no_file_holds_the_key(provider: str, server: StandIn, tmp_path: Path) -> None:
    answers(endpoint(provider, server.url), tmp_path, asks())
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()


def test_a_refusal_is_final_and_a_cut_answer_is_recorded(tmp_path: Path, openai_server: StandIn) -> None:
    def judge(name: str, body: dict[str, Any], before: int) -> dict[str, Any] | None:
        number = body["messages"][-1]["content"]
        if "question 0" in number:
            return {"body": openai_answer(body, "length")}
        if "question 1" in number:
            return {"body": openai_answer(body, refusal="no")}
        return None

    openai_server.judge = judge
    llm = endpoint("openai", openai_server.url)
    cut, refused, fine = answers(llm, tmp_path, asks(3))
    assert isinstance(cut, Failure)
    assert cut.finish == "length"
    assert isinstance(refused, Failure)
    assert refused.finish == "refusal"
    assert isinstance(fine, Response)
    assert all(answer.cached for answer in answers(llm, tmp_path, asks(3)))
    assert len(openai_server.batches) == 1
