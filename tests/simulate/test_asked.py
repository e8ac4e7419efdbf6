from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from autointerp.llm.request import Answer, Failure, Question, Request, Response
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Scale, Simulation, Unscored
from autointerp.simulate.asked import Asked
from autointerp.simulate.digits_output import DigitsOutput
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.sparse_json import SparseJson
from tests.llm.doubles import Counter, EchoAsker
from tests.simulate.contexts import WORDS, as_digits, as_json, context, knowing, listed, predicted, random_context

SIMULATORS = [(SparseJson, as_json), (DigitsOutput, as_digits)]


def _made(kind: type[Asked], asker: Any) -> Asked:
    return kind(asker, load_prompt(f"{kind.name}/v1"), "m", 5)


def _truth(piece: str) -> float:
    return {"river": 9.0, "sea": 6.0, "rain": 3.4}.get(piece.strip(), 0.0)


@pytest.mark.parametrize(("kind", "form"), SIMULATORS)
def test_an_oracle_is_found_out_as_one_and_a_random_answer_as_none(kind: type[Asked], form: Any) -> None:
    rng = np.random.default_rng(0)
    contexts = tuple(random_context(i, 64, rng) for i in range(30))
    truth = np.array([[_truth(p) for p in c.pieces] for c in contexts])
    simulator = _made(kind, EchoAsker(knowing(_truth, form)))
    assert isinstance(simulator, Simulator)
    ((_, result),) = simulator.simulate([Task("bodies of water", contexts)], Bar())
    assert isinstance(result, Simulation)
    assert result.predicted.dtype == np.float32
    assert result.scale is Scale.ZERO_TO_NINE
    assert np.corrcoef(truth.ravel(), result.predicted.ravel())[0, 1] >= 0.99
    blind = EchoAsker(lambda request: form((rng.random(len(listed(request))) * 9).tolist()))
    ((_, guessed),) = _made(kind, blind).simulate([Task("bodies of water", contexts)], Bar())
    assert isinstance(guessed, Simulation)
    assert abs(np.corrcoef(truth.ravel(), guessed.predicted.ravel())[0, 1]) < 0.08


class Shuffling(EchoAsker):
    """Answers come in another order than they were asked for."""

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        answers = list(super().stream(requests))
        yield from (answers[i] for i in np.random.default_rng(1).permutation(len(answers)))


@pytest.mark.parametrize("asker", [EchoAsker, Shuffling])
def test_what_tasks_share_is_asked_once_and_every_task_gets_its_own(asker: type[EchoAsker]) -> None:
    rng = np.random.default_rng(2)
    contexts = [random_context(i, 8, rng) for i in range(6)]
    tasks = [
        Task("water", tuple(contexts[:3])),
        Task("  water\n", (contexts[2], contexts[0], contexts[5])),
        Task(" \x00 ", (contexts[0],)),
        Task("lists", (contexts[1], contexts[1])),
        Task("lists", ()),
    ]
    double = asker(knowing(_truth, as_json))
    simulator = _made(SparseJson, double)
    expected = list(simulator.requests(tasks))
    assert double.seen == []
    results = dict(simulator.simulate(tasks, bar := Counter()))
    assert double.seen == expected
    assert len(set(expected)) == len(expected) == 5
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert bar.done == 5
    assert results[2] == Unscored("empty explanation")
    assert results[4] == Unscored("no context to predict")
    for place in (0, 1, 3):
        rows = [[round(_truth(p)) for p in c.pieces] for c in tasks[place].contexts]
        np.testing.assert_array_equal(predicted(results[place]), rows)


def test_a_task_fails_with_the_reason_of_its_first_context_that_stays_unanswered() -> None:
    contexts = [context(i, f" {WORDS[i]}", " x") for i in range(4)]
    failures: dict[str, Answer] = {
        WORDS[1]: Failure("the model refused", "refusal"),
        WORDS[2]: Response("I can't say", 1, 1),
    }

    def answer(request: Request) -> Answer:
        return failures.get(listed(request)[0].strip(), as_json([1, 0]))

    tasks = [Task("e", tuple(contexts)), Task("e", (contexts[0],)), Task("e", (contexts[2], contexts[1]))]
    asker = Shuffling(answer, reasks=1)
    results = dict(_made(SparseJson, asker).simulate(tasks, Bar()))
    assert results[0] == Unscored("the model refused")
    assert isinstance(results[1], Simulation)
    assert results[2] == Unscored("no JSON in the answer")
    assert [request.reask for request in asker.seen] == [0, 0, 0, 0, 1]


def test_an_unreadable_answer_is_mended_by_the_next_draw() -> None:
    def answer(request: Request) -> Answer:
        return as_digits([9.0, 0.0]) if request.reask else Response("0=9", 1, 1)

    asker = EchoAsker(answer, reasks=2)
    ((_, result),) = _made(DigitsOutput, asker).simulate([Task("e", (context(0, "a", "b"),))], Bar())
    assert isinstance(result, Simulation)
    assert [r.reask for r in asker.seen] == [0, 1]


def test_questions_are_made_as_they_are_asked() -> None:
    made: list[int] = []

    class Noting(SparseJson):
        def question(self, explanation: str, context: Any) -> Question[Any]:
            made.append(context.context)
            return super().question(explanation, context)

    contexts = [context(i, "a") for i in range(100)]
    simulator = _made(Noting, EchoAsker(lambda request: as_json([1])))
    running = simulator.simulate([Task("e", (c,)) for c in contexts], Bar())
    next(running)
    assert made == [0]
    assert len(list(running)) == 99


@pytest.mark.parametrize(("kind", "form"), SIMULATORS)
def test_an_answer_has_room_for_all_values_and_asks_as_it_should(kind: type[Asked], form: Any) -> None:
    pieces = [" x"] * 120
    ((request,)) = _made(kind, EchoAsker(lambda request: as_json([]))).requests([Task("e", (context(0, *pieces),))])
    assert request.max_tokens >= len(form([9.0] * 120).text)  # a token holds one character at least
    assert (request.temperature, request.seed, request.model, request.is_completion) == (0.0, 5, "m", False)
    assert request.json_object == (kind is SparseJson)
    assert request.top_logprobs == (20 if kind is DigitsOutput else 0)
    assert listed(request) == pieces


def test_a_sparse_answer_can_hold_no_zero() -> None:
    """The prompt says to leave silent tokens out; a schema that takes a 0 lets the model say otherwise."""
    simulator = SparseJson(EchoAsker(lambda request: as_json([])), load_prompt("sparse-json/v1"), "m", 0)
    (request,) = simulator.requests([Task("animals", (context(0, " a", " cat"),))])
    assert request.schema is not None
    schema = json.loads(request.schema)
    bounds = {index: (value["minimum"], value["maximum"]) for index, value in schema["properties"].items()}
    assert bounds == {"0": (1, 9), "1": (1, 9)}
    assert not schema.get("required")
