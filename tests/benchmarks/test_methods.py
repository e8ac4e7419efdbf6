"""The two-way check and the cost table: what is compared, counted and handed over is right. No score is asserted."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autointerp.contexts.slices import Held
from autointerp.judge.interface import Item, Items
from autointerp.llm.request import Failure, Question, Request, Response, TokenLogprob
from autointerp.planted.pairings import PlantedPairing
from autointerp.planted.units import TRUE, PlantedUnit
from autointerp.prompting import load_prompt
from autointerp.records import Unscored
from autointerp.simulate.digits import read_hidden
from tests.planted.made import TOKENS, made_units
from tests.tiny import tiny_folder

if TYPE_CHECKING:
    from methods.outcome import Outcome

HOSTILE = 'a "quoted" {{ explanation }} {% raw %} \\ line\nwith\ttabs and é🌊 <end>'


def _unit() -> PlantedUnit:
    return made_units()[0]


def _outcome(name: str, scores: Sequence[float | None], values: Sequence[dict[str, float] | None]) -> Outcome:
    from methods.outcome import Outcome, Scored
    from methods.serving import Served

    pairings = tuple(Scored(s, "" if s is not None else "nan", v, 2) for s, v in zip(scores, values, strict=True))
    return Outcome(name, pairings, Served(1, 2, 3), 1.0)


def test_agreement_is_on_what_both_have() -> None:
    from methods.outcome import agreement

    first = _outcome("a", [0.1, 0.5, None, 0.9], [{"0": 1.0, "1": 2.0}, {"0": 3.0}, {"0": 9.0}, None])
    second = _outcome("b", [0.3, 0.4, 0.7, None], [{"0": 2.0, "1": 5.0}, {"1": 7.0}, {"0": 1.0}, {"0": 0.0}])
    found = agreement(first, second)
    assert (found.n, found.values_n) == (2, 3)
    assert found.correlation == pytest.approx(1.0)
    assert found.difference == pytest.approx((0.2 + 0.1) / 2)
    assert found.values_correlation == pytest.approx(np.corrcoef([1, 2, 9], [2, 5, 1])[0, 1])
    assert found.values_difference == pytest.approx((1 + 3 + 8) / 3)
    assert (first.scored, first.hidden, first.reasons) == (3, 6, {"nan": 1})


def test_who_prefers_a_unit_s_own_explanation() -> None:
    from methods.outcome import preference

    units, own = ["u", "v", "u", "w", "v", "w"], [True, False, False, True, True, False]
    found = preference(_outcome("a", [0.4, 0.3, 0.1, None, 0.3, 0.9], [None] * 6), units, own)
    assert (found.scorer, found.n) == ("a", 2)
    assert found.auroc == pytest.approx((1 + 0.5) / 2)
    assert found.over_all == pytest.approx((1 + 0.5 + 0.5) / 3)
    nobody = preference(_outcome("b", [None] * 6, [None] * 6), units, own)
    assert (nobody.n, nobody.auroc, nobody.over_all) == (0, None, 0.5)


def test_agreement_on_some_values_alone() -> None:
    from methods.outcome import agreement

    first = _outcome("a", [0.1, 0.5], [{"0": 1.0, "1": 2.0, "2": 7.0}, {"0": 3.0}]).only([{"0", "2"}, set()], "some")
    found = agreement(first, _outcome("b", [0.3, 0.4], [{"0": 2.0, "1": 5.0, "2": 3.0}, {"0": 3.0}]))
    assert (found.first, found.n, found.values_n, found.values_difference) == ("a, some", 2, 2, 2.5)


def test_tokens_are_written_alike_up_to_a_context_s_first_line_break() -> None:
    from methods.checking import written_alike

    unit = _unit()
    first, second, *_ = unit.held_out
    pieces = (" a", " b", "\n", *second.context.pieces[3:])
    broken = replace(second, context=replace(second.context, pieces=pieces))
    ids = np.array([first.context.context, second.context.context])
    held = Held(ids, np.stack([first.activations, second.activations]), np.ones(2))
    pairing = PlantedPairing(replace(unit, held_out=(first, broken), held=held), TRUE)
    assert written_alike(pairing) == {str(token) for token in range(TOKENS + 2)}


def test_no_correlation_without_two_different_scores() -> None:
    from methods.outcome import agreement

    flat = _outcome("a", [0.5, 0.5], [None, None])
    found = agreement(flat, _outcome("b", [0.1, 0.2], [None, None]))
    assert (found.correlation, found.values_correlation, found.n) == (None, None, 2)


def test_a_rival_s_simulation_prompt_becomes_ours_word_for_word(tmp_path: Path) -> None:
    from methods.prompts import EXPLANATION, write_simulation

    before = f"Examples: {HOSTILE}\nExplanation: the thing is {EXPLANATION}<|endofprompt|>\nActivations: \n<start>\n"
    write_simulation(tmp_path, f"{before}\n<end>\n")
    ((role, text),) = load_prompt("digits/v1", tmp_path).render(explanation="words {{ 7 }}")
    assert role == ""
    assert text == before.replace(EXPLANATION, "words {{ 7 }}")


def test_a_rival_s_chat_becomes_ours_word_for_word(tmp_path: Path) -> None:
    from methods.prompts import EXAMPLE, EXPLANATION, write_detection

    last = f"Explanation: {EXPLANATION}\n\nTexts:\n\nExample 0: {EXAMPLE}\n"
    write_detection(tmp_path, [{"role": "system", "content": HOSTILE}, {"role": "user", "content": last}])
    messages = load_prompt("detection/v1", tmp_path).render(explanation='"x"', excerpts=['"one"', '"two"'])
    expected = 'Explanation: "x"\n\nTexts:\n\nExample 0: "one"\nExample 1: "two"\n'
    assert messages == (("system", HOSTILE), ("user", expected))


def _hidden(*digits: int | None) -> tuple[TokenLogprob, ...]:
    """A prompt's lines with hidden values; at each, one digit is sure, or none is likely."""
    tokens: list[TokenLogprob] = []
    for digit in digits:
        top = (("unknown", -0.1), *([(str(digit), -3.0)] if digit is not None else [("x", -9.0)]))
        tokens += [TokenLogprob(" word", -1.0), TokenLogprob("\t", -1.0), TokenLogprob("unknown", -0.1, top)]
        tokens.append(TokenLogprob("\n", -1.0))
    return tuple(tokens)


def test_hidden_values_are_read_as_a_run_reads_them_and_examples_are_passed_over() -> None:
    from methods.ours import hidden_values

    response = Response("", 1, 1, prompt_logprobs=_hidden(7, 0, 3))
    np.testing.assert_array_equal(hidden_values(response, 3, 20), read_hidden(response, 3))
    assert hidden_values(response, 2, 20) == [0.0, 3.0]
    assert hidden_values(Response("", 1, 1, prompt_logprobs=_hidden(7, None)), 2, 20) == [7.0, None]
    assert hidden_values(response, 1, 1) == [None]  # the likeliest token alone is no digit
    assert isinstance(hidden_values(response, 4, 20), Unscored)
    assert hidden_values(Failure("it is down"), 1, 20) == Unscored("it is down")


def test_a_token_without_a_digit_is_no_score_by_our_rule_and_nought_by_the_other() -> None:
    from methods.ours import simulated

    pairing = PlantedPairing(_unit(), TRUE)
    rows: list[list[float | None]] = [[float(v) for v in row] for row in pairing.unit.held.truth]
    strict, filled = simulated(pairing, rows)
    assert strict.score == filled.score == pytest.approx(1.0)
    rows[0][0] = None
    strict, filled = simulated(pairing, rows)
    assert (strict.score, strict.reason, strict.hidden) == (None, "no digit among the top log-probabilities", 0)
    assert filled.score is not None
    assert (filled.hidden, (filled.values or {})["0"], "0" in (strict.values or {})) == (1, 0.0, False)


class _Worker:
    """Answers jobs as a rival's process would."""

    def __init__(self, *results: dict[str, Any]) -> None:
        self.jobs: list[dict[str, Any]] = []
        self._results = list(results)

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.jobs.append(json.loads(json.dumps(job)))
        return self._results.pop(0)


def test_a_simulator_gets_the_slice_and_its_failures_are_counted() -> None:
    from methods.rivals import simulate

    pairing = PlantedPairing(_unit(), TRUE)
    rows = [[0.5] * TOKENS for _ in pairing.contexts]
    worker: Any = _Worker(
        {"score": 0.25, "values": rows, "made_up": 3},
        {"error": "AssertionError"},
        {"score": None, "values": rows, "made_up": 0},
    )
    whole, broken, constant = simulate(worker, "http://nowhere/v1", [pairing] * 3)
    told = worker.jobs[0]
    assert [context["pieces"] for context in told["contexts"]] == [list(c.pieces) for c in pairing.contexts]
    assert [context["truth"] for context in told["contexts"]] == pairing.unit.held.truth.tolist()
    assert (whole.score, whole.hidden, len(whole.values or {})) == (0.25, 3, len(rows) * TOKENS)
    assert (broken.score, broken.reason, broken.values) == (None, "raised AssertionError", None)
    assert (constant.score, constant.reason) == (None, "nan")


def test_a_scorer_gets_the_items_that_ours_draws_and_what_it_drops_is_counted() -> None:
    from methods.rivals import decide

    unit = _unit()
    held = unit.held_out[:4]
    items = tuple(Item(one.context.context, place, one.peak > 0) for place, one in enumerate(held))
    question: Any = Question(Request((("user", "?"),), "m", 1, 0.0, 0), lambda response: Unscored("never read"))
    told = [
        {"text": one.context.text, "prediction": place % 2 == 0 if place else None, "active": one.peak > 0}
        for place, one in enumerate(held)
    ]
    worker: Any = _Worker({"score": 0.5, "values": told})
    found, refused = decide(
        worker, "u", [PlantedPairing(unit, TRUE)] * 2, [[Items(items, question)], Unscored("too few active contexts")]
    )
    assert [context["pieces"] for context in worker.jobs[0]["contexts"]] == [list(one.context.pieces) for one in held]
    expected = {str(one.context.context): float(place % 2 == 0) for place, one in enumerate(held) if place}
    assert (found.score, found.hidden, found.values) == (0.5, 1, expected)
    assert (refused.score, refused.reason) == (None, "too few active contexts")


def test_the_server_is_started_and_its_counts_are_read(tmp_path: Path) -> None:
    from methods.serving import echo_server, served

    with echo_server(str(tiny_folder(tmp_path))) as url:
        before = served(url)
        body = json.dumps({"model": "m", "prompt": "The sea", "max_tokens": 2}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/completions", data=body, timeout=30) as answer:
            used = json.load(answer)["usage"]
        spent = served(url).since(before)
    assert (spent.requests, spent.prompt_tokens, spent.completion_tokens) == (
        1, used["prompt_tokens"], used["completion_tokens"],
    )  # fmt: skip


def test_a_server_that_does_not_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.environments import Unavailable
    from methods import serving

    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit(2)")
    monkeypatch.setattr(serving, "_SCRIPT", script)
    with pytest.raises(Unavailable, match="did not start"), serving.echo_server("builtin"):
        pass
