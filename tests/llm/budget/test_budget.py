"""Limits hold strictly, requests in flight included; spending outlives the process."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import BadInput, BudgetReached
from autointerp.llm.budget.account import Counted, Usage
from autointerp.llm.budget.prices import NANO, Tokens, price, used, worst_case
from autointerp.llm.budget.purse import Budgeted, Purse
from autointerp.llm.client import Transient
from autointerp.llm.online.asker import AsyncAsker
from autointerp.llm.online.retrying import Retrying
from autointerp.llm.online.slots import Limited
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.study_models import Budget, Llm
from tests.forked import Forked
from tests.llm.doubles import YES, EchoAsker, ScriptedClient, request

PRICED = Llm(model="m", input_usd=2.0, output_usd=10.0, cached_input_usd=0.5)


@dataclass
class Biller:
    """An endpoint that bills: it keeps its own books."""

    seed: int
    faults: float = 0.0
    tokens: int = 0
    most: int = 0
    now: int = 0
    answered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    async def complete(self, request: Request) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.rng.random() * 0.003)
        self.now -= 1
        worst = worst_case(request)
        used = (self.rng.randint(1, worst.input), self.rng.randint(1, worst.output))
        fate = self.rng.random()
        if fate < self.faults / 2:
            raise Transient("down", 0.0, billed=False)
        self.tokens += sum(used)
        if fate < self.faults:
            raise Transient("reset mid-body", 0.0)  # billed, and nobody says how much
        self.answered.append(request.messages[0][1])
        return Response("yes", *used)


async def _soon(_: float) -> None:
    """The wait before another try, cut short: others go on meanwhile all the same."""
    await asyncio.sleep(0.001)


def _ask(client: Biller, usage: Usage, count: int) -> tuple[list[int], BudgetReached | None]:
    stack = Retrying(Budgeted(client, Purse(usage, "explain", PRICED)), 20, sleep=_soon)
    asker = AsyncAsker(stack, "e", 16, 0)
    done: list[int] = []
    try:
        for place, _ in asker.stream(request(f"question {i}") for i in range(count)):
            done.append(place)
    except BudgetReached as reached:
        return done, reached
    finally:
        asker.close()
    return done, None


@pytest.mark.parametrize("faults", [0.0, 0.4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_endpoint_bills_never_passes_the_limit(seed: int, faults: float) -> None:
    limit = 20_000
    usage, client = Usage(budget=Budget(limit_tokens=limit)), Biller(seed, faults)
    done, reached = _ask(client, usage, 500)
    assert reached is not None
    assert reached.exit_code == 3
    assert "limit_tokens = 20,000" in str(reached)
    assert client.tokens <= usage.spent()[0] <= limit
    assert client.most > 4
    assert len(done) == len(client.answered), "what was under way when the limit came is kept"
    if not faults:
        assert client.tokens == usage.spent()[0]
        assert limit - client.tokens < worst_case(request("question 000")).total, "and it is used up"


def test_raising_the_limit_continues(tmp_path: Path) -> None:
    path = tmp_path / "spending.sqlite"
    first = Usage(path, Budget(limit_usd=0.02))
    client = Biller(0)
    _, reached = _ask(client, first, 100)
    assert reached is not None
    assert "limit_usd = 0.02" in str(reached)
    assert 0.018 < first.spent()[1] <= 0.02
    first.close()
    again = Usage(path, Budget(limit_usd=0.02))
    assert _ask(client, again, 100)[0] == []
    again.close()
    more = Usage(path, Budget(limit_usd=5.0))
    done, reached = _ask(client, more, 100)
    assert reached is None
    assert len(done) == 100
    assert more.spent()[0] == client.tokens


def test_a_limit_in_dollars_needs_prices_before_anything_is_sent() -> None:
    usage = Usage(budget=Budget(limit_usd=1))
    for llm in (Llm(model="dear"), Llm(model="dear", input_usd=1.0), Llm(model="dear", output_usd=1.0)):
        with pytest.raises(BadInput, match="the price of model 'dear' is unknown"):
            Purse(usage, "explain", llm)
    Purse(Usage(budget=Budget(limit_tokens=1)), "explain", Llm(model="dear"))


def _attempts(script: list[Any], usage: Usage) -> None:
    stack = Retrying(Budgeted(ScriptedClient(script), Purse(usage, "explain", PRICED)), len(script), sleep=_soon)
    asyncio.run(stack.complete(request()))


def test_every_attempt_is_charged_by_what_became_of_it() -> None:
    worst = worst_case(request())
    cases: list[tuple[list[Answer | Exception], int, int, int]] = [
        ([YES], 14, 1, 0),
        ([Transient("429", 0.0, billed=False), YES], 14, 2, 0),
        ([Transient("500", 0.0), YES], worst.total + 14, 2, 1),
        ([Failure("the model refused", "refusal", "", 11, 2)], 13, 1, 0),
        ([Response("yes", None, None)], worst.total, 1, 1),
        ([Transient("reset", 0.0)] * 3, 3 * worst.total, 3, 3),
    ]
    for script, spent, attempts, uncertain in cases:
        usage = Usage()
        _attempts(list(script), usage)
        usage.count("explain", "m", priced=True, requests=1)
        row = usage.rows()[0]
        assert (usage.spent()[0], row.attempts, row.uncertain) == (spent, attempts, uncertain), script
        assert row.input_tokens + row.output_tokens == spent
    bad = Usage()
    with pytest.raises(BadInput):
        _attempts([BadInput("wrong key", "set it")], bad)
    assert bad.spent() == (0, 0.0)


def test_a_cancelled_attempt_stays_at_its_worst_case() -> None:
    class Hangs:
        sent = 0

        async def complete(self, request: Request) -> Answer:
            self.sent += 1
            await asyncio.sleep(60)
            return YES

    usage, client = Usage(), Hangs()

    async def cancel() -> None:
        task = asyncio.create_task(Budgeted(client, Purse(usage, "explain", PRICED)).complete(request()))
        while not client.sent:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert usage.spent()[0] == worst_case(request()).total


def test_what_waited_for_a_slot_when_it_was_cancelled_was_never_sent_and_costs_nothing() -> None:
    class Hangs:
        sent = 0

        async def complete(self, request: Request) -> Answer:
            self.sent += 1
            await asyncio.sleep(60)
            return YES

    usage, client = Usage(), Hangs()
    limited = Limited(client, 2)
    stack = Budgeted(limited, Purse(usage, "explain", PRICED))

    async def cancel() -> None:
        tasks = [asyncio.create_task(stack.complete(request(str(i)))) for i in range(8)]
        while client.sent < 2:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found)

    asyncio.run(cancel())
    assert client.sent == 2
    assert usage.spent()[0] == 2 * worst_case(request("0")).total


def test_an_endpoint_that_uses_more_than_it_may_is_reserved_more_for(capsys: pytest.CaptureFixture[str]) -> None:
    class Thinks:
        sent = 0

        async def complete(self, request: Request) -> Answer:
            self.sent += 1
            return Response("yes", 10, 5000)

    client, usage = Thinks(), Usage(budget=Budget(limit_tokens=20_000))
    stack = Budgeted(client, Purse(usage, "explain", PRICED))

    async def ask() -> None:
        for number in range(30):
            await stack.complete(request(str(number)))

    with pytest.raises(BudgetReached):
        asyncio.run(ask())
    assert client.sent == 3
    assert usage.spent()[0] <= 20_000
    assert "more than it was allowed to write" in capsys.readouterr().err


def test_every_over_billing_adds_to_what_is_reserved_and_a_lesser_one_takes_nothing_away() -> None:
    """Two that grow: the second passes what the first one taught. The account shows what each attempt reserves."""
    usage = Usage()
    purse = Purse(usage, "explain", PRICED)
    worst = worst_case(request())
    beyond = 0
    for more in (100, 250, 0, 40):
        tokens, usd = usage.spent()
        ticket = purse.reserve(request())
        assert ticket is not None
        reserved = usage.spent()
        assert reserved[0] - tokens == worst.total + beyond
        assert reserved[1] - usd == pytest.approx((2.0 * worst.input + 10.0 * (worst.output + beyond)) / 1e6)
        purse.settle(ticket, Response("yes", worst.input, worst.output + beyond + more))
        assert usage.spent()[0] - tokens == worst.total + beyond + more
        beyond += more
    assert beyond == 390
    ticket = purse.reserve(request())
    assert ticket is not None
    purse.settle(ticket, YES)
    before = usage.spent()[0]
    assert purse.reserve(request()) is not None
    assert usage.spent()[0] - before == worst.total + beyond


def test_half_price_holds_for_what_is_reserved_and_for_what_is_paid() -> None:
    worst = worst_case(request())
    for discount in (1.0, 0.5):
        usage = Usage(budget=Budget(limit_usd=1.0))
        purse = Purse(usage, "explain", PRICED, discount)
        ticket = purse.reserve(request())
        assert ticket is not None
        assert usage.spent()[1] == pytest.approx(discount * (2.0 * worst.input + 10.0 * worst.output) / 1e6)
        purse.settle(ticket, Response("yes", 100, 20, cached_input_tokens=60))
        assert usage.spent()[1] == pytest.approx(discount * (2.0 * 40 + 0.5 * 60 + 10.0 * 20) / 1e6)
        assert usage.spent()[0] == 120
        purse.settle(ticket, Response("yes", 5, 5))
        purse.release(ticket)
        assert usage.spent()[0] == 120, "what is settled is settled"


def test_who_charges_for_cache_writes_is_reserved_and_paid_a_quarter_more_on_the_prompt() -> None:
    worst = worst_case(request())
    for provider, factor in (("openai", 1.0), ("anthropic", 1.25)):
        usage = Usage()
        purse = Purse(usage, "explain", PRICED.model_copy(update={"provider": provider}))
        ticket = purse.reserve(request())
        assert ticket is not None
        assert usage.spent()[1] == pytest.approx((factor * 2.0 * worst.input + 10.0 * worst.output) / 1e6)
        purse.settle(ticket, Response("yes", 100, 0, cached_input_tokens=40, written_input_tokens=30))
        assert usage.spent()[1] == pytest.approx((2.0 * 30 + 1.25 * 2.0 * 30 + 0.5 * 40) / 1e6)


def test_what_an_endpoint_says_it_had_cached_or_wrote_is_never_more_than_the_prompt() -> None:
    assert used(Response("yes", 100, 5, cached_input_tokens=300, written_input_tokens=9)) == Tokens(100, 5, 100, 0)
    assert used(Response("yes", 100, 5, cached_input_tokens=80, written_input_tokens=90)) == Tokens(100, 5, 80, 20)
    assert used(Response("yes", None, 5)) is used(Response("yes", 5, None)) is None


@pytest.mark.parametrize("limit", ["limit_tokens", "limit_usd"])
def test_a_request_that_just_fits_is_sent_and_one_token_less_stops_it(limit: str) -> None:
    """The error names the limit that stands in the way, also where both are set."""
    worst = worst_case(request())
    whole: dict[str, Any] = {"limit_tokens": worst.total, "limit_usd": (2.0 * worst.input + 10.0 * worst.output) / 1e6}
    assert Purse(Usage(budget=Budget(**whole)), "explain", PRICED).reserve(request()) is not None
    less = {**whole, limit: whole[limit] - (1 if limit == "limit_tokens" else 1e-6)}
    purse = Purse(Usage(budget=Budget(**less)), "explain", PRICED)
    assert purse.reserve(request()) is None
    assert f"stopped by budget.{limit} = " in str(purse.reached(request()))


def test_what_was_priced_and_all_served_cost_nothing_and_an_unknown_price_stays_unknown() -> None:
    usage = Usage()
    for model, priced in (("m", True), ("n", False)):
        usage.count("explain", model, priced=priced, requests=1, cached=1)
    assert [row.cost_usd for row in usage.rows()] == [0.0, None]


_OPENS = """
import sys
from pathlib import Path
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.budget.account import Usage
sys.stdin.readline()
for number in range(12):
    Ledger(Path(sys.argv[1]) / str(number) / "ledger.sqlite").close()
    Usage(Path(sys.argv[1]) / str(number) / "spending.sqlite").close()
print("done")
"""


def test_processes_may_create_the_files_at_the_same_moment(tmp_path: Path) -> None:
    children = [Forked(_OPENS, str(tmp_path)) for _ in range(4)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    assert [child.ends()[:2] for child in children] == [(0, "done\n")] * 4


_KILLED = """
import os, signal, sys
from pathlib import Path
from autointerp.llm.budget.purse import Purse
from autointerp.llm.budget.account import Usage
from autointerp.study_models import Budget, Llm
from tests.llm.doubles import YES, request
purse = Purse(Usage(Path(sys.argv[1]), Budget(limit_tokens=10**6)), "explain", Llm(model="m"))
purse.settle(purse.reserve(request("a")), YES)
purse.reserve(request("b"))
for name in "cdef":
    waiting = purse.reserve(request(name), waiting=True)
purse.send(waiting)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_in_flight_when_the_process_was_killed_is_charged(tmp_path: Path) -> None:
    path = tmp_path / "spending.sqlite"
    assert Forked(_KILLED, str(path)).ends()[0] == -signal.SIGKILL
    usage = Usage(path)
    usage.count("explain", "m", priced=True, requests=2)
    worst = worst_case(request("b"))
    # Of the four that waited for their turn one was sent: the other three cost nothing.
    assert usage.spent()[0] == 14 + worst.total + worst_case(request("f")).total
    assert usage.rows()[0].uncertain == 2
    assert usage.rows() == Usage(path).rows()


def test_what_waits_in_a_process_that_lives_stays_reserved(tmp_path: Path) -> None:
    path = tmp_path / "spending.sqlite"
    first = Usage(path, Budget(limit_tokens=1000))
    purse = Purse(first, "explain", Llm(model="m"))
    ticket = purse.reserve(request(), waiting=True)
    assert ticket is not None
    worst = worst_case(request()).total
    assert Usage(path).spent()[0] == first.spent()[0] == worst
    purse.settle(ticket, YES)
    assert first.spent()[0] == 14


def test_an_attempt_is_open_from_the_moment_that_it_has_its_slot() -> None:
    usage, states = Usage(), list[int]()

    class Watching:
        async def complete(self, asked: Request) -> Answer:
            usage.count("explain", "m", priced=True, requests=1)
            open_ones = usage._base.execute("SELECT count(*) FROM attempts WHERE state = 'open'").fetchone()[0]
            states.append(open_ones)
            await asyncio.sleep(0.01)
            return YES

    client = Budgeted(Limited(Watching(), 2), Purse(usage, "explain", Llm(model="m")))

    async def go() -> None:
        await asyncio.gather(*(client.complete(request(str(n))) for n in range(8)))
        await client.aclose()

    asyncio.run(go())
    assert len(states) == 8
    assert states[0] == 1, "eight were reserved at once, and one had a slot"
    assert states[1] <= 2  # later ones may stand beside some that are settled a little later


def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    path = tmp_path / "spending.sqlite"
    first, second = (Usage(path, Budget(limit_tokens=1000)) for _ in range(2))
    one, two = Purse(first, "explain", Llm(model="m")), Purse(second, "judge", Llm(model="m"))
    worst = worst_case(request()).total
    tickets = [purse.reserve(request()) for _ in range(10) for purse in (one, two)]
    assert sum(t is not None for t in tickets) == 1000 // worst
    assert first.spent() == second.spent()


_SPENDS = """
import sys
from pathlib import Path
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.purse import Purse
from autointerp.study_models import Budget, Llm
from tests.llm.doubles import YES, request
usage = Usage(Path(sys.argv[1]), Budget(limit_tokens=int(sys.argv[2])))
purse = Purse(usage, "explain", Llm(model="m"))
sys.stdin.readline()
granted = 0
for number in range(60):
    ticket = purse.reserve(request())
    if ticket is not None:
        granted += 1
        if number % 2:
            purse.settle(ticket, YES)
    usage.count("explain", "m", priced=False, requests=1)
print(granted)
"""


def test_processes_that_spend_at_once_stay_within_one_limit(tmp_path: Path) -> None:
    path, limit = tmp_path / "spending.sqlite", 40 * worst_case(request()).total
    children = [Forked(_SPENDS, str(path), str(limit)) for _ in range(4)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    ended = [child.ends() for child in children]
    assert [code for code, _, _ in ended] == [0] * 4, ended
    granted = sum(int(said) for _, said, _ in ended)
    usage = Usage(path, Budget(limit_tokens=limit))
    (row,) = usage.rows()
    assert (row.requests, row.attempts) == (4 * 60, granted)
    assert row.input_tokens + row.output_tokens == usage.spent()[0] <= limit
    assert 40 < granted < 4 * 60, "what was settled made room for others, and there was not room for all"


@pytest.mark.parametrize(
    "text", ["", "abc", "«ключ» 🦊 한국어", "\ud800", "<|im_start|>" * 40, "\n" * 100, "🦊" * 1000]
)
def test_the_worst_case_is_a_token_for_each_byte_and_what_a_template_may_add(text: str) -> None:
    """Not one for each character: a byte-level tokenizer may make four of an emoji."""
    bare, asked = worst_case(request("", max_tokens=7)), worst_case(request(text, max_tokens=7))
    size = len(text.encode("utf8", "surrogatepass"))
    assert bare.input == 256 + 16
    assert asked == Tokens(size + bare.input, 7, 0, size + bare.input)
    twice = replace(request(text, max_tokens=7), messages=(("system", text), ("user", text)))
    assert worst_case(twice).input == 2 * (size + 16) + 256
    assert size >= 4000 or not text.startswith("🦊")


def test_prices_are_exact_and_an_unknown_one_is_none() -> None:
    assert price(PRICED, Tokens(1_000_000, 1_000_000)) == 12 * NANO
    assert price(PRICED, Tokens(1_000_000, 0, 1_000_000)) == NANO // 2
    assert price(PRICED, Tokens(1, 0)) == 2_000
    assert price(PRICED, Tokens(1_000_000, 1_000_000), 0.5) == 6 * NANO
    assert price(PRICED, Tokens(1_000_000, 0, 0, 1_000_000)) == 5 * NANO // 2
    assert price(Llm(input_usd=0.0, output_usd=0.0), Tokens(9, 9)) == 0
    assert price(Llm(input_usd=1.0), Tokens(9, 9)) is None
    cheap = Llm(input_usd=0.0001, output_usd=0.0)
    assert [price(cheap, Tokens(count)) for count in (1, 9, 10, 11)] == [1, 1, 1, 2], "rounded up, never down"


def test_what_the_ledger_saved_and_what_a_local_model_read_is_counted() -> None:
    usage = Usage()
    stored = Response("a", 100, 10, cached=True)
    answers: Iterator[Answer] = iter([stored, Response("b", 50, 5), Failure("down (2 tries)")])
    asker = Counted(EchoAsker(lambda _: next(answers)), usage, "explain", PRICED, charged=False)
    assert len(list(asker.stream([request(str(i)) for i in range(3)]))) == 3
    assert asker.unanswered == 1
    assert [asdict(row) for row in usage.rows()] == [
        {
            "stage": "explain", "model": "m", "requests": 3, "cached": 1, "attempts": 0, "uncertain": 0,
            "input_tokens": 50, "cached_input_tokens": 0, "output_tokens": 5, "cost_usd": 0.0,
            "saved_input_tokens": 100, "saved_output_tokens": 10, "saved_usd": pytest.approx(0.0003),
        }
    ]  # fmt: skip
