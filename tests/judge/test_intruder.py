from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

from autointerp.judge.interface import Case, HeldOut, Items, Judge
from autointerp.judge.intruder import Intruder
from autointerp.llm.capabilities import Capabilities
from autointerp.records import Unscored
from tests.injections import INJECTIONS, injected_context
from tests.judge.doubles import SETTINGS, excerpts, held_out, mixed

INTRUDER = Intruder(SETTINGS)


def draw(contexts: tuple[HeldOut, ...], seed: int = 0, explanation: str = "") -> list[Items]:
    batches = INTRUDER.batches(Case(explanation, contexts), np.random.default_rng(seed))
    assert isinstance(batches, list)
    return batches


def test_it_is_a_judge_that_needs_no_explanation() -> None:
    assert isinstance(INTRUDER, Judge)
    assert INTRUDER.prompt.startswith("intruder/v1@")
    assert not Intruder.traits.needs_explanation
    assert Intruder.traits.share == 0.2


def test_one_of_five_was_seen_to_be_silent() -> None:
    contexts = (*mixed(8, 9), held_out(200, 0.0, random=False), held_out(201, 0.001, random=True))
    by_id = {c.context.context: c for c in contexts}
    drawn = set()
    for seed in range(60):
        batches = draw(contexts, seed)
        assert len(batches) == 5
        intruders = [item.context for batch in batches for item in batch.items if item.truth]
        assert len(set(intruders)) == 5, "every trial has an intruder of its own"
        assert [i.shown for b in batches for i in b.items] == list(range(25))
        for batch in batches:
            assert len({i.context for i in batch.items}) == 5
            assert sum(i.truth for i in batch.items) == 1
            for item in batch.items:
                assert item.truth == (by_id[item.context].peak == 0)
        drawn |= {i.context for b in batches for i in b.items}
    assert drawn == set(by_id) - {200}


def test_the_intruder_s_place_is_uniform() -> None:
    places = Counter[int]()
    for seed in range(400):
        for batch in draw(mixed(5, 5), seed):
            places[next(p for p, item in enumerate(batch.items) if item.truth)] += 1
    assert sorted(places) == [0, 1, 2, 3, 4]
    assert chisquare([places[p] for p in range(5)]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("active", "inactive", "reason"),
    [(3, 9, "too few active held-out contexts"), (9, 3, "too few inactive held-out contexts"),
     (9, 1, "too few inactive held-out contexts"), (0, 0, "too few active held-out contexts")],
)  # fmt: skip
def test_fewer_than_four_of_a_kind_can_not_be_judged(active: int, inactive: int, reason: str) -> None:
    found = INTRUDER.batches(Case("", mixed(active, inactive)), np.random.default_rng(0))
    assert found == Unscored(reason)


def test_the_fewest_examples_are_enough_for_a_trial() -> None:
    batches = Intruder(replace(SETTINGS, examples=4)).batches(Case("", mixed(9, 9)), np.random.default_rng(0))
    assert isinstance(batches, list)
    assert len(batches) == 4


def test_what_is_read_is_a_probability_for_each_context() -> None:
    able = Intruder(replace(SETTINGS, capabilities=Capabilities("e", "m", top_logprobs=20)))
    batches = able.batches(Case("", mixed(8, 8)), np.random.default_rng(0))
    assert isinstance(batches, list)
    assert batches[0].question.request.top_logprobs == 10
    assert batches[0].question.request.json_object
    assert draw(mixed(8, 8))[0].question.request.top_logprobs == 0


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_explanation_and_no_mark_is_shown_and_no_context_leaves_its_quotes(text: str) -> None:
    contexts = tuple(
        HeldOut(injected_context(f"{text} {i}", i), np.array([0, i % 2, 0], dtype=np.float32), True) for i in range(10)
    )
    by_id = {c.context.context: c.context.text for c in contexts}
    for batch, usual in zip(draw(contexts, explanation="secret"), draw(mixed(5, 5)), strict=True):
        messages, harmless = batch.question.request.messages, usual.question.request.messages
        assert messages[:-1] == harmless[:-1]
        assert len(messages[-1][1].splitlines()) == len(harmless[-1][1].splitlines())
        assert excerpts(messages) == [by_id[item.context] for item in batch.items]
        assert not any("secret" in content for _, content in messages)
