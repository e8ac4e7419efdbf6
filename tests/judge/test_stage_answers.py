from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autointerp.judge.detection import Detection
from autointerp.judge.interface import Case, Items
from autointerp.judge.stage import judge_each
from autointerp.llm.request import Answer, Failure, Request, Response
from autointerp.records import Unscored
from tests.judge.doubles import SETTINGS, answer, asked, mixed
from tests.llm.doubles import Counter, EchoAsker

DETECTION = Detection(SETTINGS)


def prepared(seed: int) -> list[Items]:
    batches = DETECTION.batches(Case(f"case {seed}", mixed(8, 8)), np.random.default_rng(seed))
    assert isinstance(batches, list)
    return batches


def ones(request: Request) -> Answer:
    return Response(answer([1] * len(asked(request.messages)[1])), 1, 1)


def test_every_case_comes_back_with_its_items_in_the_order_shown() -> None:
    cases: list[list[Items] | Unscored] = [prepared(0), Unscored("no explanation: none"), prepared(2)]
    progress = Counter()
    found = dict(judge_each(cases, EchoAsker(ones), progress))
    assert found[1] == cases[1]
    for place in (0, 2):
        judged, batches = found[place], cases[place]
        assert isinstance(judged, list)
        assert isinstance(batches, list)
        assert [j.item for j in judged] == [i for b in batches for i in b.items]
        assert [j.probability for j in judged] == [1.0] * 10
    assert progress.done == 3


def test_a_batch_without_a_readable_answer_leaves_its_items_unscored_after_the_re_asks() -> None:
    def stubborn(request: Request) -> Answer:
        explanation, excerpts = asked(request.messages)
        if explanation == "case 1" and "case" in explanation and excerpts == first:
            return Response("[1]", 1, 1)
        return ones(request)

    batches = prepared(1)
    first = asked(batches[0].question.request.messages)[1]
    asker = EchoAsker(stubborn, reasks=2)
    ((_, judged),) = judge_each([batches], asker, Counter())
    assert isinstance(judged, list)
    assert [j.probability for j in judged] == [Unscored("wrong number of values")] * 5 + [1.0] * 5
    assert len(asker.seen) == 2 + 2, "only what could not be read was asked again"


def test_a_mended_answer_counts_and_a_failure_keeps_its_reason() -> None:
    def mended(request: Request) -> Answer:
        if asked(request.messages)[0] == "case 0":
            return Failure("the endpoint is down")
        return ones(request) if request.reask else Response("sure: yes, no", 1, 1)

    found = dict(judge_each([prepared(0), prepared(1)], EchoAsker(mended, reasks=1), Counter()))
    failed, judged = found[0], found[1]
    assert not isinstance(failed, Unscored)
    assert not isinstance(judged, Unscored)
    assert [j.probability for j in failed] == [Unscored("the endpoint is down")] * 10
    assert [j.probability for j in judged] == [1.0] * 10


def test_cases_are_put_together_only_when_their_turn_comes() -> None:
    taken = 0

    def cases() -> Iterator[list[Items] | Unscored]:
        nonlocal taken
        for seed in range(40):
            taken += 1
            yield Unscored("no explanation") if seed % 4 == 3 else prepared(seed)

    seen = []
    for place, _ in judge_each(cases(), EchoAsker(ones), Counter()):
        seen.append(place)
        assert taken <= len(seen) + 3
    assert sorted(seen) == list(range(40))


def test_nothing_to_ask_is_no_question() -> None:
    asker = EchoAsker(ones)
    assert list(judge_each([Unscored("a"), Unscored("b")], asker, Counter())) == [
        (1, Unscored("b")),
        (0, Unscored("a")),
    ]
    assert not asker.seen
