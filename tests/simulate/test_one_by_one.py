from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.llm.local.encode import encode
from autointerp.llm.local.logprobs import Spelling
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Request, Response, TokenLogprob, Unreadable
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from autointerp.prompting import Prompt, load_prompt
from autointerp.records import Scale, Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.one_by_one import OneByOne, OneByOneServed, read_digit
from autointerp.simulate.vocabulary import digit_tokens
from tests.llm.doubles import Counter, EchoAsker
from tests.simulate.contexts import as_digit, context, last_token, predicted, random_context, spoken
from tests.simulate.test_asked import Shuffling
from tests.tiny import tiny_model, tiny_tokenizer

TASKS = [
    Task("words for water", (context(0, "The", " sea", " gives", " rain"), context(1, " river", "\n", "", " é😀x"))),
    Task("lists", (context(2, "One", ",", " two", ";"),)),
]
COMPLETION = Prompt("mine/v1", 1, "completion", (("", "{{ explanation }} {{ text }} {{ token }}\n"),))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    """A tiny chat model whose digits are among its likeliest tokens."""
    torch.set_num_threads(1)
    model, tokenizer = tiny_model("phi"), tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    variants = digit_tokens(tokenizer)
    assert isinstance(variants, list)
    head: Any = model.lm_head
    with torch.no_grad():
        head.bias[[token for ids in variants for token in ids]] += 30
    return LoadedModel(model, tokenizer, "tiny phi", torch.device("cpu"))


def _prompt() -> Prompt:
    return load_prompt("one-by-one/v1")


def _logprobs(loaded: LoadedModel, request: Request) -> torch.Tensor:
    """Of the token after a request's prompt: one forward pass, nothing kept."""
    with torch.inference_mode():
        ids = torch.tensor([encode(request, loaded.tokenizer)])
        return torch.log_softmax(loaded.model(ids, use_cache=False).logits[0, -1].float(), 0)


@pytest.mark.parametrize("prompt", [_prompt(), COMPLETION])
def test_a_value_is_the_expected_digit_after_the_token_s_own_prompt(loaded: LoadedModel, prompt: Prompt) -> None:
    simulator = OneByOne(LocalModel(loaded, 2), prompt, "m")
    assert isinstance(simulator, Simulator)
    results = dict(simulator.simulate(TASKS, bar := Counter()))
    assert bar.done == 2
    variants = digit_tokens(loaded.tokenizer)
    assert isinstance(variants, list)
    for place, task in enumerate(TASKS):
        expected = []
        for each in task.contexts:
            for end, piece in enumerate(each.pieces, 1):
                shown = {"explanation": task.explanation, "text": "".join(each.pieces[:end]), "token": piece}
                messages = prompt.render(**{name: _as_json(value) for name, value in shown.items()})
                probs = _logprobs(loaded, Request(messages, "m", 1, 0.0, 0)).exp()
                mass = np.array([float(probs[ids].sum()) for ids in variants])
                expected.append((mass @ np.arange(10)) / mass.sum())
        result = results[place]
        assert isinstance(result, Simulation)
        assert result.scale is Scale.ZERO_TO_NINE
        np.testing.assert_allclose(result.predicted.ravel(), expected, atol=1e-4)
    assert np.ptp(predicted(results[0])) > 0.01


def _as_json(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


@pytest.mark.parametrize("prompt", [_prompt(), COMPLETION])
def test_an_endpoint_s_numbers_are_the_process_s(loaded: LoadedModel, prompt: Prompt) -> None:
    spelling = Spelling(loaded.tokenizer)

    def answer(request: Request) -> Response:
        rows = _logprobs(loaded, request)[None]
        token = rows.argmax(dim=1)
        ((logprob, top),) = spelling.score(rows, token, [request.top_logprobs])
        text = spelling.alone(int(token))
        return Response(text, 1, 1, logprobs=(TokenLogprob(text, logprob, top),))

    asker = EchoAsker(answer)
    local = dict(OneByOne(LocalModel(loaded, 2), prompt, "m").simulate(TASKS, Bar()))
    served = dict(OneByOneServed(asker, prompt, "m", 0).simulate(TASKS, Bar()))
    assert len(asker.seen) == 12
    for place in (0, 1):
        np.testing.assert_allclose(predicted(served[place]), predicted(local[place]), atol=1e-3)


def test_each_request_shows_the_text_up_to_its_token_and_no_value() -> None:
    simulator = OneByOneServed(EchoAsker(lambda request: as_digit(0)), _prompt(), "m", 3)
    requests = list(simulator.requests(TASKS))
    assert [last_token(r) for r in requests[:8]] == [
        ("The", "The"), ("The sea", " sea"), ("The sea gives", " gives"), ("The sea gives rain", " rain"),
        (" river", " river"), (" river\n", "\n"), (" river\n", ""), (" river\n é😀x", " é😀x"),
    ]  # fmt: skip
    assert len(requests) == 12
    assert {(r.temperature, r.seed, r.model, r.top_logprobs, r.stop) for r in requests} == {(0.0, 3, "m", 20, ("\n",))}
    assert len({r.messages[:-1] for r in requests}) == 1, "what all requests share comes first"
    first, second = (r.messages[-1][1] for r in requests[2:4])
    assert first[: first.index('"\nLast')] == second[: first.index('"\nLast')], (
        "so does what a context's requests share"
    )


def _truth(text: str, token: str) -> float:
    """Depends on the context: the sea counts for more after a river."""
    return {"river": 9.0, "sea": 7.5 if "river" in text else 4.0, "rain": 3.4}.get(token.strip(), 0.0)


def test_an_oracle_is_found_out_as_one_and_a_random_answer_as_none() -> None:
    rng = np.random.default_rng(0)
    contexts = tuple(random_context(i, 64, rng) for i in range(12))
    truth = np.array([[_truth("".join(c.pieces[: i + 1]), p) for i, p in enumerate(c.pieces)] for c in contexts])
    knowing = Shuffling(lambda request: as_digit(_truth(*last_token(request))))
    ((_, result),) = OneByOneServed(knowing, _prompt(), "m", 0).simulate([Task("water", contexts)], Bar())
    assert isinstance(result, Simulation)
    np.testing.assert_allclose(result.predicted, truth, atol=1e-4)
    blind = EchoAsker(lambda request: as_digit(float(rng.random() * 8.99)))
    ((_, guessed),) = OneByOneServed(blind, _prompt(), "m", 0).simulate([Task("water", contexts)], Bar())
    assert abs(np.corrcoef(truth.ravel(), predicted(guessed).ravel())[0, 1]) < 0.12


def test_one_token_that_stays_unanswered_leaves_the_tasks_of_its_context_unscored() -> None:
    def answer(request: Request) -> Response:
        return spoken("no idea") if last_token(request)[1] == " gives" else as_digit(1.0)

    tasks = [*TASKS, Task("", TASKS[0].contexts), Task("e", ()), Task("words for water", TASKS[0].contexts[1:])]
    asker = EchoAsker(answer, reasks=1)
    results = dict(OneByOneServed(asker, _prompt(), "m", 0).simulate(tasks, bar := Counter()))
    assert results[0] == Unscored("no digit among the top log-probabilities")
    assert results[2] == Unscored("empty explanation")
    assert results[3] == Unscored("no context to predict")
    for place, shape in ((1, (1, 4)), (4, (1, 4))):
        np.testing.assert_allclose(predicted(results[place]), np.ones(shape))
    assert (bar.done, len(asker.seen)) == (5, 12 + 1)


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("7", [("7", {"7": 0.5, "5": 0.5})], 6),
        (" 7", [(" 7", {" 7": 0.5, "5": 0.5})], 6),
        ("7", [(" ", {}), ("7", {"7": 0.75, "3": 0.25})], 6),
        ("7", [("7", {"7": 0.9, "the": 0.1}), ("<|end|>", {})], 7),
        ("It is 7", [("It", {"It": 0.6, "2": 0.2, "4": 0.1, " 4": 0.1}), (" is", {}), (" 7", {" 7": 1.0})], 3),
        ("seven", [("seven", {"seven": 0.9})], "no digit among the top log-probabilities"),
        ("", [("", {"7": 1.0})], "an empty answer"),
        ("  ", [("  ", {"7": 1.0})], "an empty answer"),
        ("8", [("7", {"7": 1.0})], "the log-probabilities are of another text than the answer"),
        ("8", [], "the log-probabilities are of another text than the answer"),
    ],
)
def test_the_digit_is_read_where_the_answer_begins(
    text: str, tokens: Sequence[tuple[str, dict[str, float]]], expected: float | str
) -> None:
    entries = [TokenLogprob(t, log(0.5), tuple((a, log(p)) for a, p in top.items())) for t, top in tokens]
    read = read_digit(Response(text, 1, 1, logprobs=tuple(entries)))
    if isinstance(expected, str):
        assert read == Unreadable(expected)
    else:
        assert isinstance(read, np.ndarray)
        np.testing.assert_allclose(read, [expected], atol=1e-6)


def test_what_was_computed_is_in_the_ledger(loaded: LoadedModel, tmp_path: Path) -> None:
    model = LocalModel(loaded, 2)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        first = dict(OneByOne(model, _prompt(), "m", ledger).simulate(TASKS, Bar()))
        replay: Any = ReplayModel(loaded.tokenizer, model.identity)
        again = dict(OneByOne(replay, _prompt(), "m", ledger).simulate(TASKS, Bar()))
        for place in (0, 1):
            assert predicted(again[place]).tobytes() == predicted(first[place]).tobytes()
        for task in (Task("another", TASKS[0].contexts), Task("lists", (context(2, "One", ",", " tw", "o;"),))):
            with pytest.raises(BadInput, match="the ledger lacks"):
                list(OneByOne(replay, _prompt(), "m", ledger).simulate([task], Bar()))


def test_a_base_model_needs_a_completion_prompt(loaded: LoadedModel) -> None:
    base = LoadedModel(loaded.model, tiny_tokenizer(), "tiny phi", torch.device("cpu"))
    with pytest.raises(BadInput, match="model 'm' has no chat template"):
        list(OneByOne(LocalModel(base, 2), _prompt(), "m").simulate(TASKS, Bar()))
