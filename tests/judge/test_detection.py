from __future__ import annotations

from dataclasses import replace
from statistics import mean

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.judge.detection import Detection
from autointerp.judge.interface import Case, HeldOut, Item, Items, Judge
from autointerp.judge.requests import answer_tokens
from autointerp.llm.capabilities import Capabilities
from autointerp.quoting import quoted
from autointerp.records import Unscored
from tests.injections import INJECTIONS, injected_context
from tests.judge.doubles import SETTINGS, asked, held_out, mixed

DETECTION = Detection(SETTINGS)


def draw(contexts: tuple[HeldOut, ...], seed: int = 0, explanation: str = "e") -> list[Items]:
    batches = DETECTION.batches(Case(explanation, contexts), np.random.default_rng(seed))
    assert isinstance(batches, list)
    return batches


def items(batches: list[Items]) -> list[Item]:
    return [item for batch in batches for item in batch.items]


def test_it_is_a_judge() -> None:
    assert isinstance(DETECTION, Judge)
    assert DETECTION.prompt.startswith("detection/v1@")


def test_half_are_active_and_every_inactive_one_was_seen_to_be_silent() -> None:
    contexts = (*mixed(8, 9), held_out(200, 0.0, random=False), held_out(201, 0.001, random=True))
    by_id = {c.context.context: c for c in contexts}
    drawn = set()
    for seed in range(50):
        found = items(draw(contexts, seed))
        assert [i.shown for i in found] == list(range(10))
        assert len({i.context for i in found}) == 10
        assert sum(i.truth for i in found) == 5
        for item in found:
            assert item.truth == (by_id[item.context].peak > 0)
        drawn |= {i.context for i in found}
    assert drawn == set(by_id) - {200}, "but for the silent one that was not drawn blindly: it stands for nothing"


@pytest.mark.parametrize(
    ("active", "inactive", "sizes"),
    [(9, 9, [5, 5]), (3, 9, [3, 3]), (9, 2, [4]), (4, 4, [4, 4]), (2, 2, [4])],
)
def test_kinds_are_balanced_and_batches_are_even(active: int, inactive: int, sizes: list[int]) -> None:
    batches = draw(mixed(active, inactive))
    assert [len(b.items) for b in batches] == sizes
    assert mean(i.truth for i in items(batches)) == 0.5


@pytest.mark.parametrize(
    ("active", "inactive", "reason"),
    [(1, 9, "too few active held-out contexts"), (9, 1, "too few inactive held-out contexts"),
     (0, 0, "too few active held-out contexts")],
)  # fmt: skip
def test_fewer_than_two_of_a_kind_can_not_be_judged(active: int, inactive: int, reason: str) -> None:
    case = Case("e", mixed(active, inactive))
    assert DETECTION.batches(case, np.random.default_rng(0)) == Unscored(reason)


def test_positions_tell_nothing() -> None:
    """Whoever answers by position alone, whatever the pattern, gets chance."""
    runs = 250
    truths = np.array([[i.truth for i in items(draw(mixed(7, 7), seed))] for seed in range(runs)])
    error = 4 * np.sqrt(0.25 / runs)
    assert np.abs(truths.mean(axis=0) - 0.5).max() < error
    # Nor do two places together, beyond what five out of ten without replacement give.
    together = (truths.T.astype(float) @ truths) / runs
    expected = np.full((10, 10), 0.5 * 4 / 9)
    np.fill_diagonal(expected, 0.5)
    assert np.abs(together - expected).max() < error
    pattern = np.array([True, False] * 5)
    right = truths == pattern
    accuracy = [(r[t].mean() + r[~t].mean()) / 2 for t, r in zip(truths, right, strict=True)]
    assert abs(mean(accuracy) - 0.5) < 0.06


def test_the_draw_does_not_depend_on_the_explanation() -> None:
    assert items(draw(mixed(8, 8), 5, "one")) == items(draw(mixed(8, 8), 5, "another, longer"))
    assert items(draw(mixed(8, 8), 5)) != items(draw(mixed(8, 8), 6))


def test_the_request_asks_for_what_the_endpoint_can_give() -> None:
    request = draw(mixed(8, 8))[0].question.request
    assert (request.temperature, request.seed, request.model, request.json_object) == (0.0, 3, "m", True)
    assert (request.top_logprobs, request.max_tokens) == (0, answer_tokens(5))
    for offered, wanted in ((20, 5), (3, 3), (0, 0)):
        able = Detection(replace(SETTINGS, capabilities=Capabilities("e", "m", top_logprobs=offered)))
        batches = able.batches(Case("e", mixed(8, 8)), np.random.default_rng(0))
        assert isinstance(batches, list)
        assert batches[0].question.request.top_logprobs == wanted


def test_the_longest_answer_fits() -> None:
    laid_out = '```json\n{\n  "answers": [\n' + ",\n".join("    true" for _ in range(5)) + "\n  ]\n}\n```"
    assert len(laid_out.split()) * 2 + laid_out.count("\n") < answer_tokens(5)


def test_nothing_marks_the_active_tokens_and_no_number_gives_the_context_away() -> None:
    batch = draw((*(held_out(i, 2.0, False, "same") for i in range(5)), *mixed(0, 5)))[0]
    _, excerpts = asked(batch.question.request.messages)
    assert all(text.endswith((" end", "word end")) for text in excerpts)
    assert not any(mark in batch.question.request.messages[-1][1] for mark in "«»*<>")


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_context_and_no_explanation_leaves_its_quotes(text: str) -> None:
    contexts = tuple(
        HeldOut(injected_context(f"{text} {i}", i), np.array([0, i % 2, 0], dtype=np.float32), True) for i in range(10)
    )
    by_id = {c.context.context: c.context.text for c in contexts}
    plain = [m.question.request.messages for m in draw(mixed(5, 5))]
    for batch, usual in zip(draw(contexts, explanation=text), plain, strict=True):
        messages = batch.question.request.messages
        assert [role for role, _ in messages] == [role for role, _ in usual]
        assert messages[:-1] == usual[:-1]
        assert len(messages[-1][1].splitlines()) == len(usual[-1][1].splitlines())
        explanation, excerpts = asked(messages)
        assert explanation == text
        assert excerpts == [by_id[item.context] for item in batch.items]


def test_a_quoted_text_is_one_printable_line() -> None:
    line = quoted('"\n\u2028\x85\u202e{{ x }}\\é漢')
    assert line == '"\\"\\n\\u2028\\u0085\\u202e{{ x }}\\\\é漢"'
    assert line.isprintable()


def test_an_unknown_prompt_is_named() -> None:
    with pytest.raises(BadInput, match="no prompt 'detection/v9'"):
        Detection(replace(SETTINGS, prompt="detection/v9"))
