"""A process may die at any moment: whoever comes next hands in nothing twice, and finds every answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput
from autointerp.llm.anthropic.batches import AnthropicBatches
from autointerp.llm.batch.asker import BatchAsker
from autointerp.llm.batch.store import BatchStore, Submission
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.prices import BATCH_DISCOUNT
from autointerp.llm.budget.purse import Purse
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.openai.batches import OpenAIBatches
from autointerp.study_models import Llm
from tests.llm.batch.standin import ANSWER_TOKENS, PROMPT_TOKENS, Fault, StandIn, text_of
from tests.llm.batch.workshop import Stable, answers, asking, asks, endpoint, kill, spent, texts

_EACH = PROMPT_TOKENS + ANSWER_TOKENS


class Death(BaseException):
    """Nothing catches it."""


class Mortal:
    """Passes every call on, and dies before the one that is next in line to die."""

    def __init__(self, inner: Any, die: Callable[[], None]) -> None:
        self._inner, self._die = inner, die

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **more: Any) -> Any:
            self._die()
            return found(*args, **more)

        return call


class Clock:
    """Dies at the so-manieth moment."""

    def __init__(self, moment: int) -> None:
        self.left = moment

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Death


_Api = OpenAIBatches | AnthropicBatches


class Run:
    """What outlives a process: ledger, account and batches (here in memory: what is on disk is killed further down)."""

    def __init__(self) -> None:
        self.ledger, self.usage, self.store = Ledger(None), Usage(), BatchStore(Path(":memory:"))

    def asker(self, api: _Api, clock: Clock) -> BatchAsker:
        purse = Purse(self.usage, "explain", Llm(provider="openai", input_usd=1, output_usd=1), BATCH_DISCOUNT)
        settings: dict[str, Any] = {"attempts": 3, "reasks": 0, "sleep": lambda seconds: None}
        asker = BatchAsker(api, self.ledger, self.store, purse, **settings)
        for owner in (asker, asker._handing_in, asker._collector):
            for name in ("_api", "_store", "_purse", "_ledger"):
                if name in vars(owner):
                    vars(owner)[name] = Mortal(vars(owner)[name], clock)
        return asker

    def close(self) -> None:
        for opened in (self.ledger, self.usage, self.store):
            opened.close()


@pytest.mark.parametrize("batches", [1, 2])
def test_death_at_any_moment_is_mended(provider: str, server: StandIn, batches: int) -> None:
    """Before every call to endpoint, ledger, account and batches; with requests that need one batch, or two."""
    server.polls = 2
    server.judge = lambda name, body, before: (
        {"expired": True} if "question 1" in text_of(body) and before + 1 < batches else None
    )
    make = OpenAIBatches if provider == "openai" else AnthropicBatches
    mortal, next_one = make(endpoint(provider, server.url)), make(endpoint(provider, server.url))
    deaths = leaks = 0
    clock = Clock(0)
    while clock.left <= 0:
        run, clock = Run(), Clock(deaths + 1)
        server.batches.clear()
        with suppress(Death):
            list(run.asker(mortal, clock).stream(asks(2)))
        found = dict(run.asker(next_one, Clock(0)).stream(asks(2)))
        assert texts(found[place] for place in range(2)) == ["echo question 0 é", "echo question 1 é"]
        assert sorted(server.accepted().values()) == [1, batches], f"after {deaths} calls"
        tokens = run.usage.spent()[0]
        assert tokens >= 2 * _EACH
        leaks += tokens > 2 * _EACH
        deaths += 1
        run.close()
    assert deaths > 15 * batches
    # Only what was reserved and not yet written down stays reserved: moments without any call to the endpoint.
    assert leaks <= 2 * batches
    mortal.close()
    next_one.close()


@pytest.fixture(scope="module")
def stable() -> Iterator[Stable]:
    made = Stable()
    yield made
    made.close()


def _check(provider: str, server: StandIn, folder: Path) -> None:
    found = answers(endpoint(provider, server.url), folder, asks())
    assert texts(found) == [f"echo question {i} é" for i in range(7)]
    assert set(server.accepted().values()) == {1}


@pytest.mark.parametrize("place", ["create:before", "create:after", "poll:before", "poll:after", "download:half"])
def test_kill_9_and_take_up(provider: str, server: StandIn, tmp_path: Path, stable: Stable, place: str) -> None:
    server.hold = place
    pid = stable.start(provider, server.url, tmp_path)
    assert server.held.wait(20), "the process never came to the place"
    kill(pid)
    server.over.set()
    server.deserted()
    server.hold = ""
    _check(provider, server, tmp_path)
    assert spent(tmp_path)[0] == 7 * _EACH


def test_kill_9_at_random_moments(provider: str, server: StandIn, tmp_path: Path, stable: Stable) -> None:
    moments = random.Random(5)
    server.polls = 12
    for number in range(12):
        pid = stable.start(provider, server.url, tmp_path)
        time.sleep(moments.uniform(0.05, 0.2))
        kill(pid)
        server.deserted()
        if server.batches and number % 4 == 0:
            server.faults["create"].append(Fault(lost=True))
    _check(provider, server, tmp_path)


def test_somebody_elses_batch_is_not_taken_for_ours(tmp_path: Path, anthropic_server: StandIn) -> None:
    """Anthropic's batches carry no mark: one of as many requests, made in the same moment, may be anybody's."""
    server = anthropic_server
    llm = endpoint("anthropic", server.url, attempts=1)
    server.faults["create"].append(Fault(reset=True))
    with pytest.raises(BadInput, match="1 tries"):
        answers(llm, tmp_path, asks(3))
    other = tmp_path / "other"
    answers(endpoint("anthropic", server.url, temperature=0.1), other, [*asks(9)[6:]])
    found = answers(llm, tmp_path, asks(3))
    assert texts(found) == [f"echo question {i} é" for i in range(3)]
    assert len(server.batches) == 2


def test_a_lost_batch_is_found_among_those_of_others(provider: str, server: StandIn, tmp_path: Path) -> None:
    """Made before it and after it, as large and not: only those that may be ours are looked at."""
    llm, lost = endpoint(provider, server.url), endpoint(provider, server.url, attempts=1)
    others = [[request] for request in asks(30)[10:12]] + [asks(30)[start : start + 3] for start in (12, 15, 18)]
    answers(llm, tmp_path / "before", asks(30)[23:26])
    server.faults["create"].append(Fault(lost=True))
    with pytest.raises(BadInput, match="1 tries"):
        answers(lost, tmp_path, asks(3))
    for number, requests in enumerate(others):
        answers(llm, tmp_path / str(number), requests)
    before, ours, *small = server.batches[:4]
    polls = [batch.polls for batch in (before, *small)]
    found = answers(llm, tmp_path, asks(3))
    assert texts(found) == [f"echo question {i} é" for i in range(3)]
    assert len(server.batches) == 2 + len(others)
    assert set(server.accepted().values()) == {1}
    assert ours.polls >= server.polls
    assert [batch.polls for batch in (before, *small)] == polls


def test_only_batches_as_large_and_made_since_are_candidates(tmp_path: Path, anthropic_server: StandIn) -> None:
    server = anthropic_server
    llm = endpoint("anthropic", server.url)
    for number, count in enumerate([3, 1, 3, 2, 3]):
        answers(llm, tmp_path / str(number), asks(count))
    api = AnthropicBatches(llm)
    ids = [batch.id for batch in server.batches]
    assert api.candidates(Submission("u", api.identity, "/v1/messages", ids[0]), 3) == [ids[2], ids[4]]
    assert api.candidates(Submission("u", api.identity, "/v1/messages", ""), 1) == [ids[1]]
    assert api.newest() == ids[4]
    api.close()


def test_a_batch_whose_making_was_never_confirmed_is_waited_for(
    tmp_path: Path, anthropic_server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    server = anthropic_server
    server.faults["create"].append(Fault(lost=True))
    found = answers(endpoint("anthropic", server.url), tmp_path, asks(3))
    assert texts(found) == [f"echo question {i} é" for i in range(3)]
    assert len(server.batches) == 1
    assert "may be this run's" in capsys.readouterr().err


def test_a_batch_that_may_have_been_made_is_not_given_up_when_the_list_is_refused(
    provider: str, server: StandIn, tmp_path: Path
) -> None:
    llm = endpoint(provider, server.url)
    server.faults["create"].append(Fault(lost=True))
    server.faults["list"] += [Fault(), Fault(403)]
    with pytest.raises(BadInput, match="refuses to answer"):
        answers(llm, tmp_path, asks(3))
    found = answers(llm, tmp_path, asks(3))
    assert texts(found) == [f"echo question {i} é" for i in range(3)]
    assert len(server.batches) == 1


def test_what_was_never_handed_in_is_said_and_its_money_is_free_again(
    provider: str, server: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = endpoint(provider, server.url, attempts=1)
    server.faults["create"].append(Fault(reset=True))
    with pytest.raises(BadInput, match="1 tries"):
        answers(llm, tmp_path, asks(3))
    reserved = spent(tmp_path)[0]
    assert reserved > 3 * _EACH
    answers(llm, tmp_path, asks(3))
    assert "was about to be handed in and was not" in capsys.readouterr().err
    assert spent(tmp_path)[0] == 3 * _EACH


def test_answers_are_stored_before_they_are_used(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm = endpoint(provider, server.url)
    with asking(llm, tmp_path) as asker:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        for place, answer in asker.stream(asks(3)):
            stored = ledger.get(asks(3)[place], asker.identity)
            assert stored is not None
            assert texts([stored]) == texts([answer])
        ledger.close()


def test_a_reader_that_stops_early_loses_nothing(provider: str, server: StandIn, tmp_path: Path) -> None:
    llm = endpoint(provider, server.url)
    with asking(llm, tmp_path) as asker:
        stream = asker.stream(asks())
        assert isinstance(stream, Generator)
        next(stream)
        stream.close()
    assert len([text for text in texts(answers(llm, tmp_path, asks())) if text]) == 7
    assert set(server.accepted().values()) == {1}
    assert spent(tmp_path)[0] == 7 * _EACH
    store = BatchStore(tmp_path / "batches.sqlite")
    assert store.open(f"{provider} {server.url}") == []
    store.close()
