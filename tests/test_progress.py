"""What a log is told: a line when something takes long to begin, a pace that the ledger's answers do not flatter."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest

from autointerp import progress
from autointerp.llm.questions import gather
from autointerp.llm.request import Answer, Question, Request, Response
from autointerp.progress import Bar, Pace, bar, rate_text, time_text
from tests.llm.doubles import request


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1234.0, "1,234/s"), (1.0, "1/s"), (0.5, "30/min"), (0.02, "1/min"), (0.001, "4/h"), (0.0, "0/h")],
)
def test_a_rate_has_the_unit_that_suits_it(rate: float, text: str) -> None:
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3000, "50 min"), (5400, "1.5 h"), (10_000_000, "2,777.8 h")],
)
def test_a_time_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_the_first_thing_done_says_nothing_of_the_pace() -> None:
    """It waited for a model to be loaded, or a connection to be made."""
    pace, rates = Pace(), list[float | None]()
    for n, now in ((1, 100.0), (4, 102.0), (6, 105.0)):
        rates.append(pace.rate)
        pace.add(n, now)
    assert [*rates, pace.rate] == [None, None, 2.0, 2.0]


def test_time_left_is_by_what_was_worked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with bar("asking", 1000, "requests") as shown:
        shown.advance(500, free=True)
        clock[0] = 50.0
        shown.advance()
        assert capsys.readouterr().err == "  asking: 501/1,000 requests\n"
        clock[0] = 60.0
        shown.advance()
        clock[0] = 70.0
        shown.advance()
        assert capsys.readouterr().err == "  asking: 503/1,000 requests, 6/min, 83 min left\n"


def test_what_takes_long_to_begin_says_that_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SOON", 0.05)
    with bar("judge", 3072, "pairings"):
        time.sleep(0.3)
    with bar("quick", 3, "things") as quick:
        quick.advance()
        time.sleep(0.2)
    with bar("ended", 3, "things"):
        pass
    time.sleep(0.2)
    assert capsys.readouterr().err == "  judge of 3,072 pairings: under way\n"


def test_a_group_whose_answers_were_all_there_is_free() -> None:
    class Noted(Bar):
        def __init__(self) -> None:
            self.free: list[bool] = []

        def advance(self, n: int = 1, *, free: bool = False) -> None:
            self.free.append(free)

    def question(text: str) -> Question[str]:
        return Question(request(text), lambda answer: answer.text)

    class Half:
        identity, reasks, unanswered = "half", 0, 0

        def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
            for place, asked in enumerate(requests):
                yield place, Response("x", 1, 1, cached="known" in asked.messages[0][1])

    seen = Noted()
    groups: list[tuple[str, list[Question[str]]]] = [
        ("a", [question("known 1"), question("known 2")]),
        ("b", [question("known 3"), question("new")]),
        ("c", []),
    ]
    assert {owner for owner, _ in gather(Half(), groups, seen)} == {"a", "b", "c"}
    assert sorted(seen.free) == [False, True, True]
