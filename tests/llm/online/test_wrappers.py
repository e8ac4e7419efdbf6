from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.http.refusals import retry_after
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.ledger.recorded import Recorded
from autointerp.llm.ledger.replaying import ReplayAsker, UnrecordedRequest
from autointerp.llm.online.asker import AsyncAsker
from autointerp.llm.online.retrying import Retrying
from autointerp.llm.online.slots import Limited
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Answer, Failure, Request, Response
from tests.llm.doubles import YES, Counter, ScriptedClient, request


class Slow:
    """Takes its time, and remembers how many it had at once."""

    def __init__(self) -> None:
        self.now = self.most = self.calls = 0

    async def complete(self, request: Request) -> Answer:
        self.now, self.calls = self.now + 1, self.calls + 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return Response(request.messages[0][1], 1, 1)


def _retry(script: Sequence[Answer | Exception], attempts: int) -> tuple[Answer, list[float], ScriptedClient]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    client = ScriptedClient(list(script))
    return asyncio.run(Retrying(client, attempts, sleep=sleep).complete(request())), waits, client


def test_faults_are_tried_again_after_the_wait_that_was_asked_for() -> None:
    answer, waits, client = _retry([Transient("429", 1.5), Transient("down"), Transient("slow", 0.0), YES], 6)
    assert answer == YES
    assert len(client.seen) == 4
    assert waits[0] == 1.5
    assert 0 <= waits[1] <= 30
    assert 0 <= waits[2] <= 30


def test_an_endpoint_that_asks_for_no_wait_does_not_get_every_try_at_once() -> None:
    for asked in (0.0, 0.01):
        waits = _retry([Transient("429", asked)] * 9 + [YES], 10)[1]
        assert sum(waits) > 5
        assert min(waits) >= asked


def test_the_wait_grows_and_has_a_limit() -> None:
    draws = [_retry([Transient("down")] * 12, 12)[1] for _ in range(20)]
    assert max(w[0] for w in draws) <= 0.5 < max(w[5] for w in draws) <= 16
    assert max(map(max, draws)) <= 30
    assert len({w[5] for w in draws}) > 1
    assert _retry([Transient("later", 1e9), YES], 2)[1] == [600.0]


def test_after_the_last_try_it_is_a_failure_that_is_not_kept() -> None:
    answer, waits, client = _retry([Transient("the endpoint answered 503", 0.0)] * 3, 3)
    assert answer == Failure("the endpoint answered 503 (3 tries)")
    assert len(waits) == 2
    assert len(client.seen) == 3


def test_a_bad_request_and_a_refusal_are_not_tried_again() -> None:
    with pytest.raises(BadInput, match="wrong key"):
        _retry([BadInput("wrong key", "set it"), YES], 6)
    refusal = Failure("the model refused", "refusal")
    answer, waits, _ = _retry([refusal, YES], 6)
    assert answer == refusal
    assert waits == []


def test_retry_after_in_every_form() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=30), usegmt=True)
    assert retry_after({}) is None
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after-ms": "250", "retry-after": "7"}) == 0.25
    assert 25 < (retry_after({"retry-after": soon}) or 0) <= 30
    assert retry_after({"retry-after": past}) == 0
    for nonsense in ("soon", "-1", "nan", "inf", ""):
        assert retry_after({"retry-after": nonsense}) is None


def test_no_more_in_flight_than_slots_and_a_waiting_request_holds_none() -> None:
    slow = Slow()

    async def all_at_once() -> None:
        limited = Limited(slow, 3)
        await asyncio.gather(*(limited.complete(request(str(i))) for i in range(12)))

    asyncio.run(all_at_once())
    assert slow.most == 3

    order: list[str] = []

    class FirstFails:
        async def complete(self, request: Request) -> Answer:
            order.append(request.messages[0][1])
            if order == ["a"]:
                raise Transient("once", 0.05)
            return YES

    async def two() -> None:
        client = Retrying(Limited(FirstFails(), 1), 3)
        await asyncio.gather(client.complete(request("a")), client.complete(request("b")))

    asyncio.run(two())
    assert order == ["a", "b", "a"]


class Crowded:
    """Takes so many at once and answers 429 beyond; 2 ms each."""

    def __init__(self, room: int, retry_after: float | None = None) -> None:
        self.room, self.retry_after = room, retry_after
        self.now = self.refused = self.served = 0
        self.early = 0
        self.closed_until = 0.0

    async def complete(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        self.early += loop.time() + 0.002 < self.closed_until
        if self.now >= self.room:
            self.refused += 1
            if self.retry_after:
                self.closed_until = loop.time() + self.retry_after
            raise Transient("the endpoint answered 429", self.retry_after, billed=False, crowded=True)
        self.now += 1
        await asyncio.sleep(0.002)
        self.now -= 1
        self.served += 1
        return YES


def _crowd(limited: Limited, count: int) -> None:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0.001)

    async def all_at_once() -> None:
        client = Retrying(limited, 1000, sleep=sleep)
        await asyncio.gather(*(client.complete(request(str(i))) for i in range(count)))

    asyncio.run(all_at_once())


def test_concurrency_backs_off_when_the_endpoint_is_crowded() -> None:
    endpoint = Crowded(room=4)
    limited = Limited(endpoint, 64)
    _crowd(limited, 600)
    assert endpoint.served == 600
    assert limited.slots.number < 12
    assert endpoint.refused < 600, "at 64 at once nearly every try would be refused"


def test_concurrency_recovers_when_there_is_room_again() -> None:
    endpoint = Crowded(room=4)
    limited = Limited(endpoint, 32)
    _crowd(limited, 200)
    low = limited.slots.number
    assert low < 12
    endpoint.room = 1000
    _crowd(limited, 600)
    assert limited.slots.number > 20 > low


def test_nothing_is_sent_before_the_time_that_the_endpoint_asked_for() -> None:
    endpoint = Crowded(room=2, retry_after=0.05)
    limited = Limited(endpoint, 8)
    _crowd(limited, 30)
    assert endpoint.served == 30
    assert endpoint.early <= 8 * endpoint.refused / 2, "only what was sent before the refusal was known"
    assert endpoint.refused < 40


def test_an_endpoint_that_is_down_ends_the_run_and_not_its_units() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    client = Retrying(ScriptedClient([Transient("no connection")] * 100), 2, "openai http://here/v1", sleep)

    async def ask() -> list[Answer]:
        return [await client.complete(request(str(i))) for i in range(20)]

    with pytest.raises(BadInput, match=r"openai http://here/v1 gives no answers: no connection \(2 tries\), 8 req"):
        asyncio.run(ask())


def _together(script: Sequence[Answer | Exception], count: int, attempts: int = 10) -> list[Answer]:
    """So many requests at a time, without any wait between their tries."""

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    client = Retrying(ScriptedClient(list(script)), attempts, "openai http://here/v1", at_once)

    async def ask() -> list[Answer]:
        return list(await asyncio.gather(*(client.complete(request(str(i))) for i in range(count))))

    return asyncio.run(ask())


def test_where_nothing_was_ever_answered_three_tries_of_eight_requests_are_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone, slow = Transient("no connection", billed=False), Transient("the endpoint did not answer in time", slow=True)
    with pytest.raises(
        BadInput, match="no connection, 3 times for each of 8 requests, and no other: check it; what is"
    ):
        _together([gone] * 1000, 20)
    with pytest.raises(
        BadInput, match=r"did not answer in time, 3 times .*: it is there, and slow: raise llm\.NAME\.tim"
    ):
        _together([slow] * 1000, 20)
    assert "If that goes on: raise llm.NAME.timeout, or lower llm.NAME.concurrency." in capsys.readouterr().err
    # One answer, or an endpoint that only asks for patience, and the tries go on to their end.
    answers = _together([YES, *[gone] * 36, *[YES] * 8], 9, attempts=9)
    assert answers == [YES] * 9
    crowded = Transient("429", crowded=True)
    answers = _together([*[crowded] * 60, *[YES] * 20], 20)
    assert answers == [YES] * 20


def test_a_replay_has_no_provider_and_says_what_it_lacks(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.put(request("known"), "e", YES)
        asker = ReplayAsker(ledger, "e", 1)
        assert ask_all(asker, [request("known")], Counter()) == [replace(YES, cached=True)]
        with pytest.raises(UnrecordedRequest, match="the ledger holds no answer to request [0-9a-f]{12} to model 'm'"):
            ask_all(asker, [request("known"), request("new")], Counter())


def test_what_the_ledger_holds_is_not_asked_and_identical_requests_share_a_flight(tmp_path: Path) -> None:
    slow = Slow()

    async def ask(texts: Sequence[str]) -> list[Answer]:
        client = Recorded(slow, ledger, "e")
        return await asyncio.gather(*(client.complete(request(t)) for t in texts))

    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        answers = asyncio.run(ask(["a", "b", "a", "a"]))
        assert slow.calls == 2
        assert [a.cached for a in answers] == [False, False, True, True]
        again = asyncio.run(ask(["b", "a"]))
        assert slow.calls == 2
        assert again == [Response("b", 1, 1, cached=True), Response("a", 1, 1, cached=True)]


def test_a_failed_flight_is_not_kept_and_the_next_one_asks(tmp_path: Path) -> None:
    client = ScriptedClient([Failure("down (2 tries)"), YES])
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        recorded = Recorded(client, ledger, "e")
        assert asyncio.run(recorded.complete(request())) == Failure("down (2 tries)")
        assert asyncio.run(recorded.complete(request())) == YES


def test_asking_keeps_the_order_and_also_works_inside_a_running_loop() -> None:
    asker, bar = AsyncAsker(Slow(), "e", window=5, reasks=0), Counter()
    requests = [request(str(i)) for i in range(23)]

    async def notebook() -> list[Answer]:
        return ask_all(asker, requests, bar)

    try:
        assert [a.text for a in asyncio.run(notebook()) if isinstance(a, Response)] == [str(i) for i in range(23)]
        assert bar.done == 23
        assert ask_all(asker, [], bar) == []
    finally:
        asker.close()


def test_the_first_bad_input_stops_the_rest() -> None:
    class Refuses(Slow):
        async def complete(self, request: Request) -> Answer:
            if request.messages[0][1] == "2":
                raise BadInput("wrong key", "set it")
            return await super().complete(request)

    client = Refuses()
    asker = AsyncAsker(client, "e", window=4, reasks=0)
    try:
        with pytest.raises(BadInput, match="wrong key"):
            ask_all(asker, [request(str(i)) for i in range(400)], Counter())
    finally:
        asker.close()
    assert client.calls < 20
