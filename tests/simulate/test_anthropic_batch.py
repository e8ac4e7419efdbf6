from __future__ import annotations

import json
from collections import Counter as Count
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.llm.request import Request, Response, Unreadable
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.anthropic_batch import LINE, VALUES, AnthropicBatch, read_lines
from autointerp.simulate.interface import Simulator, Task
from tests.llm.doubles import Counter, EchoAsker
from tests.simulate.contexts import as_lists, context, in_lines, predicted, random_context


def _made(asker: Any) -> AnthropicBatch:
    return AnthropicBatch(asker, load_prompt("anthropic-batch/v1"), "m", 5)


def _contexts(count: int, tokens: int = 64, seed: int = 0) -> tuple[Context, ...]:
    rng = np.random.default_rng(seed)
    return tuple(random_context(i, tokens, rng) for i in range(count))


def _truth(piece: str) -> float:
    return {"river": 9.0, "sea": 6.0, "rain": 3.0}.get(piece.strip(), 0.0)


def _knows(request: Request) -> Response:
    return as_lists([[_truth(piece) for piece in line] for line in in_lines(request)])


def test_an_oracle_is_found_out_as_one_and_a_random_answer_as_none() -> None:
    contexts = _contexts(25)
    truth = np.array([[_truth(p) for p in c.pieces] for c in contexts])
    simulator = _made(EchoAsker(_knows))
    assert isinstance(simulator, Simulator)
    ((_, result),) = simulator.simulate([Task("bodies of water", contexts)], bar := Counter())
    assert isinstance(result, Simulation)
    assert (result.scale, bar.done) == (Scale.ZERO_TO_NINE, 1)
    assert result.predicted.dtype == np.float32
    np.testing.assert_array_equal(result.predicted, truth)
    rng = np.random.default_rng(0)
    blind = EchoAsker(lambda request: as_lists([(rng.random(len(line)) * 9).tolist() for line in in_lines(request)]))
    ((_, guessed),) = _made(blind).simulate([Task("bodies of water", contexts)], Bar())
    assert isinstance(guessed, Simulation)
    assert abs(np.corrcoef(truth.ravel(), guessed.predicted.ravel())[0, 1]) < 0.08


@pytest.mark.parametrize(
    ("count", "tokens", "calls"),
    [(25, 64, [7, 6, 6, 6]), (8, 64, [8]), (9, 64, [5, 4]), (60, 9, [60]), (61, 9, [31, 30]), (2, 600, [1, 1])],
)
def test_contexts_are_shared_out_evenly_over_calls_that_are_full_at_most(
    count: int, tokens: int, calls: list[int]
) -> None:
    contexts = _contexts(count, tokens)
    groups = _made(EchoAsker(_knows)).groups(contexts)
    assert [len(group) for group in groups] == calls
    assert all(tokens * len(group) <= VALUES or len(group) == 1 for group in groups)
    assert sorted(c.context for group in groups for c in group) == list(range(count))


def test_the_order_is_drawn_from_the_contexts_alone() -> None:
    """Another unit's explanation meets the same calls, and the place in a call tells nothing of how it was drawn."""
    asker = EchoAsker(_knows)
    contexts = _contexts(10)
    tasks = [Task("one", contexts), Task("two", contexts), Task("one", contexts[::-1]), Task("one", contexts)]
    results = dict(_made(asker).simulate(tasks, Bar()))
    one, two = [[r for r in asker.seen if f'"{name}"' in r.messages[-1][1]] for name in ("one", "two")]
    assert len(one) == len(two) == 2, "what tasks share is asked once"
    assert [in_lines(r) for r in one] == [in_lines(r) for r in two]
    np.testing.assert_array_equal(predicted(results[2]), predicted(results[0])[::-1])
    first: Count[int] = Count()
    for number in range(400):
        rng = np.random.default_rng(number)
        drawn = tuple(context(int(i), *[" x"] * 64) for i in rng.choice(10_000, size=8, replace=False))
        (group,) = _made(asker).groups(drawn)
        first[sorted(c.context for c in drawn).index(group[0].context)] += 1
    assert min(first.values()) > 25, "uniform: 50 each"
    assert max(first.values()) < 80


def test_excerpts_are_whole_and_in_lines_of_nine_tokens() -> None:
    contexts = _contexts(3, 20)
    simulator = _made(EchoAsker(_knows))
    (request,) = simulator.requests([Task("water", contexts)])
    lines = in_lines(request)
    assert [len(line) for line in lines] == [LINE, LINE, 2] * 3
    excerpts = [tuple(piece for line in lines[i : i + 3] for piece in line) for i in (0, 3, 6)]
    assert excerpts == [c.pieces for c in simulator.groups(contexts)[0]]
    assert request.messages[-1][1].count("\nExcerpt ") == 3
    assert request.messages[-1][1].endswith("\nValues of lines 1 to 9:")


def test_an_answer_has_room_for_all_values_and_asks_as_it_should() -> None:
    requests = list(_made(EchoAsker(_knows)).requests([Task("e", _contexts(8))]))
    (request,) = requests
    answer = as_lists([[9.0] * len(line) for line in in_lines(request)])
    assert len(answer.text) <= request.max_tokens  # a token holds one character at least
    assert (request.temperature, request.seed, request.model, request.is_completion) == (0.0, 5, "m", False)
    assert (request.json_object, request.top_logprobs, request.prompt_logprobs) == (True, 0, 0)


def test_one_call_that_stays_unreadable_leaves_the_task_unscored() -> None:
    contexts = _contexts(10)

    def short(request: Request) -> Response:
        lines = [[_truth(piece) for piece in line] for line in in_lines(request)]
        return as_lists([*lines[:-1], lines[-1][:-1]]) if "1 to 40:" in request.messages[-1][1] else as_lists(lines)

    asker = EchoAsker(short, reasks=2)
    tasks = [Task("e", contexts), Task("e", contexts[:3])]
    results = dict(_made(asker).simulate(tasks, Bar()))
    assert results[0] == Unscored("wrong number of values")
    assert isinstance(results[1], Simulation)
    assert [r.reask for r in asker.seen] == [0, 0, 0, 1, 1, 2, 2]
    mended = EchoAsker(lambda request: _knows(request) if request.reask else short(request), reasks=2)
    ((_, result),) = _made(mended).simulate(tasks[:1], Bar())
    assert isinstance(result, Simulation)


def _read(text: str, *sizes: int) -> list[float] | str:
    row = read_lines(Response(text, 1, 1), sizes)
    return row.reason if isinstance(row, Unreadable) else row.tolist()


@pytest.mark.parametrize(
    "text", ['{"1": [0, 9], "2": [3.5]}', 'Here:\n```json\n{"2": [3.5], "1": [0, 9]}\n```\nI hope that helps.']
)
def test_values_come_in_the_order_of_the_lines(text: str) -> None:
    assert _read(text, 2, 1) == [0, 9, 3.5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON in the answer"),
        ("[[0, 9], [3]]", "the answer's JSON is not an object"),
        ('{"1": [0, 9], "1": [3]}', "a duplicate key in the answer's JSON"),
        ("{}", "other lines than those that were asked about"),
        ('{"1": [0, 9]}', "other lines than those that were asked about"),
        ('{"1": [0, 9], "2": [3], "3": []}', "other lines than those that were asked about"),
        ('{"0": [0, 9], "1": [3]}', "other lines than those that were asked about"),
        ('{"1": [0, 9], "\u0662": [3]}', "other lines than those that were asked about"),
        ('{"1": "09", "2": [3]}', "a line's values are not a list"),
        ('{"1": {"0": 9}, "2": [3]}', "a line's values are not a list"),
        ('{"1": [0], "2": [3]}', "wrong number of values"),
        ('{"1": [0, 9, 9], "2": [3]}', "wrong number of values"),
        ('{"1": [0, "9"], "2": [3]}', "a value that is not a number"),
        ('{"1": [0, null], "2": [3]}', "a value that is not a number"),
        ('{"1": [0, true], "2": [3]}', "a value that is not a number"),
        ('{"1": [0, [9]], "2": [3]}', "a value that is not a number"),
        ('{"1": [0, 10], "2": [3]}', "a value that is not between 0 and 9"),
        ('{"1": [0, -1], "2": [3]}', "a value that is not between 0 and 9"),
        ('{"1": [0, NaN], "2": [3]}', "NaN or infinity in the answer's JSON"),
    ],
)
def test_what_is_not_one_value_per_token(text: str, reason: str) -> None:
    assert _read(text, 2, 1) == reason


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=60))
def test_answers_come_back_as_they_were_meant(lines: list[list[int]]) -> None:
    text = json.dumps({str(number): values for number, values in enumerate(lines, 1)})
    assert _read(text, *map(len, lines)) == [value for values in lines for value in values]


@given(st.text(max_size=200), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_no_text_breaks_the_reader(text: str, sizes: Sequence[int]) -> None:
    row = read_lines(Response(text, 1, 1), sizes)
    assert isinstance(row, Unreadable) or row.shape == (sum(sizes),)
