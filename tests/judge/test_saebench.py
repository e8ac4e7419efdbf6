from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from autointerp.judge.interface import Case, HeldOut, Items, Judge
from autointerp.judge.saebench import NO_LIST, NO_SUCH_ITEM, RANDOM, SHOWN, TOP, WEIGHTED, SaeBench, read_numbers
from autointerp.llm.request import Response, Unreadable
from autointerp.metrics.classification import JUDGED_SCORES, classify
from autointerp.records import Unscored
from tests.injections import INJECTIONS, injected_context
from tests.judge.doubles import SETTINGS, excerpts, held_out, mixed

JUDGE = SaeBench(SETTINGS)


def draw(contexts: tuple[HeldOut, ...], seed: int = 0, explanation: str = "e") -> Items:
    batches = JUDGE.batches(Case(explanation, contexts), np.random.default_rng(seed))
    assert isinstance(batches, list)
    (batch,) = batches
    return batch


def test_two_top_two_by_their_peaks_and_ten_that_are_silent() -> None:
    assert isinstance(JUDGE, Judge)
    contexts = (*mixed(8, 14), held_out(200, 0.0, random=False), held_out(201, 0.5, random=True))
    by_id = {c.context.context: c for c in contexts}
    further, places, silent = Counter[int](), Counter[bool](), set()
    for seed in range(400):
        items = draw(contexts, seed).items
        assert [item.shown for item in items] == list(range(SHOWN))
        assert len({item.context for item in items}) == SHOWN == 14
        active = {item.context for item in items if item.truth}
        assert len(active) == TOP + WEIGHTED == 4
        assert {6, 7} <= active, "the two strongest"
        further.update(active - {6, 7})
        for item in items:
            assert item.truth == (by_id[item.context].peak > 0)
        silent |= {item.context for item in items if not item.truth}
        places[items[0].truth] += 1
    assert silent == set(range(100, 114)), "not the silent one that was not drawn blindly"
    assert further[5] > 1.5 * further[0] > 1.5 * further[201] > 0, "peaks 6, 1 and 0.5"
    assert 70 < places[True] < 160, "4 in 14, whatever the place"


@pytest.mark.parametrize(
    ("active", "inactive", "reason"),
    [(3, 20, "too few active held-out contexts"), (8, RANDOM - 1, "too few inactive held-out contexts")],
)
def test_too_few_contexts_have_a_reason(active: int, inactive: int, reason: str) -> None:
    assert JUDGE.batches(Case("e", mixed(active, inactive)), np.random.default_rng(0)) == Unscored(reason)


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("2, 5, 9", {2, 5, 9}),
        ("2,5 and 14.", {2, 5, 14}),
        ("2, 5, and 9", {2, 5, 9}),
        ("7", {7}),
        ("The excerpts that fit: 1; 3", {1, 3}),
        ("None", set()),
        ("none.", set()),
        ("None of 14 excerpts fit", set()),
        ("2, 5 & 9", {2, 5, 9}),
        ("- 2\n- 5", {2, 5}),
        ("**2**, **5**", {2, 5}),
        ("Excerpt 2, Excerpt 5", {2, 5}),
        ("I can't say; nonetheless all of them", NO_LIST),
        ("all of them, none left out", NO_LIST),
        ("2, 5, 9 (out of 14)", NO_LIST),
        ("9" * 5000, NO_SUCH_ITEM),
        ("<think>1, 2 or 3?</think>\n4, 4", {4}),
        ("", NO_LIST),
        ("all of them", NO_LIST),
        ("Excerpt 2 fits, and Excerpt 5 does", NO_LIST),
        ("0, 3", NO_SUCH_ITEM),
        ("3, 15", NO_SUCH_ITEM),
    ],
)
def test_a_list_of_numbers_is_read(answer: str, numbers: set[int] | Unreadable) -> None:
    found = read_numbers(Response(answer, 1, 1), 14)
    if isinstance(numbers, Unreadable):
        assert found == numbers
    else:
        assert found == tuple(float(number in numbers) for number in range(1, 15))


def test_none_for_all_scores_ten_of_fourteen_and_stands_beside_it_as_chance() -> None:
    truth = np.array([item.truth for item in draw(mixed(8, 14)).items])
    none = np.array(read_numbers(Response("none", 1, 1), SHOWN))
    assert classify("share_right", truth, none) == pytest.approx(10 / 14) == pytest.approx(0.714, abs=5e-4)
    assert JUDGED_SCORES["share_right"].chance(SaeBench.traits.share) == pytest.approx(10 / 14)
    assert JUDGED_SCORES["share_right"].chance(1 - SaeBench.traits.share) == pytest.approx(10 / 14)
    assert classify("share_right", truth, truth.astype(np.float64)) == 1
    assert SaeBench.traits.metrics[0] == "share_right"


def test_own_and_anothers_explanation_are_judged_on_the_same_contexts() -> None:
    first, second = draw(mixed(8, 14), 5, "one"), draw(mixed(8, 14), 5, "another")
    assert first.items == second.items
    assert first.question.request.messages[0] == second.question.request.messages[0]
    assert excerpts(first.question.request.messages) == excerpts(second.question.request.messages)
    assert len(excerpts(first.question.request.messages)) == SHOWN


def _active(text: str, number: int) -> HeldOut:
    return HeldOut(injected_context(text, number), np.array([0.0, 1.0 + number, 0.0], dtype=np.float32), random=False)


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_can_leave_its_place(text: str) -> None:
    silent = mixed(0, 14)
    hostile, plain = (
        draw((*(_active(word, n) for n in range(4)), *silent), 1, word).question.request for word in (text, "plain")
    )
    mine, theirs = hostile.messages[-1][1], plain.messages[-1][1]
    assert len(mine.splitlines()) == len(theirs.splitlines()) == mine.count("\n") + 1
    assert mine.count("Excerpt ") >= SHOWN
    assert hostile.messages[0] == plain.messages[0]
