"""The cost table: every method has a row, and prompts and right answers are counted rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.contexts.naming import whole_words
from autointerp.judge.verdicts import read_yes_no
from autointerp.llm.answers.json import WRONG_NUMBER
from autointerp.llm.request import Response
from autointerp.planted.pairings import PlantedPairing
from autointerp.planted.units import TRUE
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted
from autointerp.simulate.anthropic_batch import read_lines
from autointerp.simulate.digits_output import read_digits
from autointerp.simulate.sparse_json import read_sparse
from autointerp.simulate.sparse_words import read_words
from autointerp.study import Study
from tests.planted.made import TOKENS, made_units, word_tokenizer
from tests.small import small_study


def test_a_meter_counts_each_prompt_once_and_what_a_unit_s_prompts_share() -> None:
    from methods.metering import Meter

    meter = Meter(word_tokenizer())
    meter.add([1, 2, 3, 4], 5)
    meter.add([1, 2, 9], 5)
    meter.add([1, 2, 3, 4], 5)
    spent = meter.taken()
    assert (spent.requests, spent.prompt, spent.shared, spent.most) == (2, 7, 4, 10)
    meter.add([1, 2, 9], 5)  # of another unit: the ledger would have it
    meter.add([7], 1)
    spent = meter.taken()
    assert (spent.requests, spent.prompt, spent.shared, spent.most) == (1, 1, 0, 1)


def test_right_answers_can_be_read_and_are_right() -> None:
    from methods.right import right_answers

    unit = made_units()[0]
    contexts = len(unit.held)
    truth = unit.held.truth * 9
    sparse = right_answers("sparse-json", unit, contexts)
    rows = [read_sparse(Response(text, 1, 1), TOKENS) for text in sparse]
    np.testing.assert_array_equal(np.array(rows), truth)
    words = right_answers("sparse-words", unit, contexts)
    shown = {held.context.context: whole_words(held.context.pieces) for held in unit.held_out}
    read = [read_words(Response(t, 1, 1), shown[int(c)]) for t, c in zip(words, unit.held.contexts, strict=True)]
    np.testing.assert_array_equal(np.array(read), truth)
    lines = right_answers("digits-output", unit, contexts)
    assert all(read_digits(Response(text, 1, 1), TOKENS) != WRONG_NUMBER for text in lines)
    (batch,) = right_answers("anthropic-batch", unit, 1)
    sizes = [9, TOKENS - 9] * contexts
    np.testing.assert_array_equal(read_lines(Response(batch, 1, 1), sizes), truth.ravel())
    assert read_yes_no(Response(right_answers("detection", unit, 2)[0], 1, 1), 5) == (1.0, 0.0, 1.0, 0.0, 1.0)
    assert right_answers("highlight", unit, 1) == [unit.explanations[TRUE]]
    assert right_answers("digits", unit, 10) == ()


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Study, Study]:
    """Models behind an endpoint, and in the process; every tokenizer is that of the made-up words."""
    from methods import counting

    inside = small_study(tmp_path)
    there = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    llm = {name: one.model_copy(update=there) for name, one in inside.llm.items()}
    monkeypatch.setattr(counting, "load_tokenizer", lambda name: word_tokenizer())
    return inside.model_copy(update={"llm": llm}), inside


def test_every_registered_method_has_a_row(
    tmp_path: Path, studies: tuple[Study, Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.counting import rows
    from methods.metering import MeteredResources

    from autointerp.explain.registry import EXPLAINERS
    from autointerp.planted.methods import methods

    monkeypatch.setattr(MeteredResources, "_bank", lambda self: ["words such as none", "words such as some"])
    units = [replace(unit, test=True) for unit in made_units()[:2]]
    found = list(rows(*studies, units, tmp_path, tmp_path))
    assert {row.method for row in found} == {*EXPLAINERS.built_in, *(method.name for method in methods())}
    by_name = {(row.method, row.where): row for row in found}
    contexts = sum(len(unit.held) for unit in units) / len(units)
    sparse = by_name["sparse-json", "endpoint"]
    assert sparse.requests == contexts
    prompt = load_prompt("sparse-json/v1")
    expected = [
        sum(
            len(word_tokenizer()(f"{role}: {text}\n", add_special_tokens=False)["input_ids"])
            for role, text in prompt.render(
                explanation=quoted(unit.explanations[TRUE]), tokens=[quoted(piece) for piece in context.pieces]
            )
        )
        for unit in units
        for context in PlantedPairing(unit, TRUE).contexts
    ]
    assert sparse.prompt == pytest.approx(sum(expected) / len(units), rel=0.02)  # the template joins what is cut here
    assert 0 < (sparse.shared or 0) < 1
    assert 0 < sparse.right < sparse.most
    tokens = contexts * TOKENS
    assert 0.9 * tokens <= by_name["one-by-one", "endpoint"].requests <= tokens  # contexts that begin alike
    assert by_name["digits", "endpoint"].right == 0  # no answer is read
    assert by_name["lift", "in the process"].requests == 2 / len(units) + 1
    assert by_name["lookup", "no language model"].prompt == by_name["exemplars", "no language model"].prompt == 0
    assert by_name["revise", "endpoint"].requests == 2


def test_a_goal_is_missed_by_what_costs_more() -> None:
    from methods.counting import Row

    row = Row("m", "simulator", "endpoint", 1, 90, 10, 50, None, 100)
    assert (row.missed, replace(row, right=11.0).missed, replace(row, goal=None, right=11.0).missed) == (
        False, True, False,
    )  # fmt: skip
