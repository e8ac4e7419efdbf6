"""`lift` through a server against `lift` in the process, on the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from autointerp.errors import BadInput
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.counting import COUNTED, CountingAsker, Tally
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.request import Answer, Failure, Request, Response, TokenLogprob
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate import lift_served
from autointerp.simulate.interface import Task
from autointerp.simulate.lift import Lift
from autointerp.simulate.lift_served import LiftServed, log_probability, spelled
from autointerp.simulate.vocabulary import canonical_tokens
from autointerp.study_models import Budget, Llm
from tests.injections import INJECTIONS, injected_by_character, injected_context
from tests.llm.doubles import Counter, EchoAsker
from tests.llm.served import Form, serving
from tests.simulate.contexts import context
from tests.tiny import tiny_loaded

BANK = ["words such as sea, two", "words such as list", "words such as rain, return, five"]
PROMPT = load_prompt("lift/v1")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def _in_tokens(loaded: LoadedModel, number: int, text: str) -> Context:
    """A text in the model's own tokens, which must each be a whole word, or white space."""
    ids = np.array(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
    pieces = [str(loaded.tokenizer.decode([i])) for i in ids]
    canonical = canonical_tokens(loaded.tokenizer)
    assert all(
        canonical[i] != i or piece.startswith(" ") or piece == "\n" for i, piece in zip(ids, pieces, strict=True)
    )
    return replace(context(number, *pieces), tokens=ids)


@pytest.fixture(scope="module")
def tasks(loaded: LoadedModel) -> list[Task]:
    first, second, third = (
        _in_tokens(loaded, number, text)
        for number, text in enumerate(
            [" the list the list\n the", " the list list the sea\n", " the the sea the list the"]
        )
    )
    return [
        Task("words for water", (first, second)),
        Task(" \x00", (first,)),
        Task("lists", (third,)),
        Task("words  for water.", (third,)),
        Task("lists", ()),
    ]


def _served(asker: object, bank: Sequence[str] = BANK) -> LiftServed:
    assert isinstance(asker, EchoAsker | CountingAsker)
    return LiftServed(asker, PROMPT, bank, "m", 3)


def _process(loaded: LoadedModel) -> EchoAsker:
    model = LocalModel(loaded, 1)
    return EchoAsker(lambda request: model.generate([request])[0])


@pytest.mark.parametrize("form", ["echo", "prompt_logprobs"])
def test_the_server_s_numbers_are_the_process_s(
    tmp_path: Path, loaded: LoadedModel, tasks: list[Task], form: Form
) -> None:
    torch.set_num_threads(1)
    local = dict(Lift(LocalModel(loaded, 2), PROMPT, BANK, 2, True).simulate(tasks, Bar()))
    with serving(loaded, form) as server:
        llm = Llm(provider="openai", model="m", base_url=server.url)
        with (
            open_ledger(tmp_path / "ledger.sqlite") as ledger,
            open_asker(llm, ledger, Usage(tmp_path / "spending.sqlite", Budget()), "simulate") as asker,
        ):
            served = dict(LiftServed(asker, PROMPT, BANK, "m", 0).simulate(tasks, bar := Counter()))
    assert bar.done == len(tasks)
    assert sorted(served) == sorted(local) == [0, 1, 2, 3, 4]
    assert served[1] == local[1] == Unscored("empty explanation")
    assert served[4] == local[4] == Unscored("no context to predict")
    for place in (0, 2, 3):
        ours, theirs = local[place], served[place]
        assert isinstance(ours, Simulation)
        assert isinstance(theirs, Simulation)
        assert theirs.scale is Scale.NATS
        np.testing.assert_allclose(theirs.predicted, ours.predicted, atol=1e-4)
        assert np.ptp(ours.predicted) > 0.01


def test_each_word_is_asked_for_once_and_the_bank_is_shared(loaded: LoadedModel, tasks: list[Task]) -> None:
    asker = _process(loaded)
    list(_served(asker).simulate(tasks, Bar()))
    texts = [request.messages[0][1] for request in asker.seen]
    assert len(set(texts)) == len(texts)
    words = {" the", " list", " sea", "\n"}
    heads = [f"Here is a list of examples of {e}:" for e in (*BANK, "words for water", "lists")]
    expected = {*heads, *(head + word for head in heads for word in words)} - {f"{heads[-1]}\n"}
    assert set(texts) == expected
    assert {(r.max_tokens, r.temperature, r.prompt_logprobs, r.seed, r.model) for r in asker.seen} == {
        (1, 0.0, 1, 3, "m")
    }


def test_a_word_of_several_tokens_is_the_sum_of_theirs_given_one_another(loaded: LoadedModel) -> None:
    one = context(0, " sea", " zebra", "é🎉", "the")
    ((_, told),) = _served(_process(loaded)).simulate([Task("animals", (one,))], Bar())
    assert isinstance(told, Simulation)

    def slow(explanation: str, word: str) -> float:
        head = loaded.tokenizer(f"Here is a list of examples of {explanation}:")["input_ids"]
        ids = [*head, *loaded.tokenizer(word, add_special_tokens=False)["input_ids"]]
        rows = torch.log_softmax(loaded.model(torch.tensor([ids])).logits[0], dim=1)
        return sum(float(rows[place - 1, ids[place]]) for place in range(len(head), len(ids)))

    words = [" sea", " zebra", " é🎉", " the"]
    assert len(loaded.tokenizer(words[1])["input_ids"]) > 2
    expected = [max(0.0, slow("animals", word) - fmean(slow(b, word) for b in BANK)) for word in words]
    np.testing.assert_allclose(told.predicted[0], expected, atol=1e-4)
    assert max(expected) > 0


def test_what_is_asked_for_in_the_place_of_a_token() -> None:
    assert spelled(["The", " sea", "", "", "🎉", " ", "\n\n", "\t-> ", " <|im_end|>", "a\x07b", "", ""]) == [
        " The", " sea", " 🎉", " 🎉", " 🎉", " ", "\n\n", " ->", " < |im_end|>", " a\\u0007b", "", "",
    ]  # fmt: skip


def test_a_token_without_a_word_predicts_nothing(loaded: LoadedModel) -> None:
    ((_, told),) = _served(_process(loaded)).simulate([Task("e", (context(0, "", ""),))], Bar())
    assert isinstance(told, Simulation)
    np.testing.assert_array_equal(told.predicted, [[0, 0]])


def _tokens(*pairs: tuple[str, float | None]) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(text, logprob) for text, logprob in pairs)


ALONE = _tokens(("<s>", None), ("of x", -3.0), (":", -0.5))


@pytest.mark.parametrize(
    ("both", "expected"),
    [
        ([*ALONE, *_tokens((" a", -2.0))], -2.0),
        ([*ALONE, *_tokens((" a", -2.0), ("b", -1.0))], -3.0),
        ([*ALONE[:2], *_tokens((":\n", -4.0))], -3.5),
        ([*_tokens(("", None)), *ALONE[1:], *_tokens(("\ufffd", -2.0), ("\ufffd", -1.5))], -3.5),
        ([*ALONE, *_tokens((" a", None))], "a token of a word has no log-probability"),
        ([*ALONE], 0.0),
    ],
)
def test_a_text_less_its_prefix(both: list[TokenLogprob], expected: float | str) -> None:
    """Also where the tokenizer joins the colon with what follows: that is the text's chance less the prefix's."""
    value = log_probability(Response("", 1, 1, prompt_logprobs=tuple(both)), ALONE)
    assert value == (Unscored(expected) if isinstance(expected, str) else pytest.approx(expected))


def test_no_answer_about_a_word_is_a_reason_for_the_tasks_that_need_it(loaded: LoadedModel) -> None:
    good = _process(loaded)
    failing = {" sea": "the model refused", "of words such as list: the": "down", "of lists:": "too long"}

    def answer(request: Request) -> Answer:
        for end, reason in failing.items():
            if request.messages[0][1].endswith(end):
                return Failure(reason, "refusal")
        return good.write(request)

    river, sea, the = context(0, " river"), context(1, " river", " sea"), context(2, " the")
    tasks = [Task("water", (river,)), Task("water", (river, sea)), Task("water", (the,)), Task("lists", (river,))]
    results = dict(_served(EchoAsker(answer)).simulate(tasks, Bar()))
    assert isinstance(results[0], Simulation)
    assert results[1] == Unscored("the model refused")
    assert results[2] == Unscored("down")
    assert results[3] == Unscored("too long")


def test_an_estimate_counts_every_request(tmp_path: Path, loaded: LoadedModel, tasks: list[Task]) -> None:
    asker = _process(loaded)
    list(_served(asker).simulate(tasks, Bar()))
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        tally = Tally()
        counting = CountingAsker(ledger, "echo", Llm(reasks=0), lambda request: 1, tally)
        results = dict(_served(counting).simulate(tasks, Bar()))
    assert tally.requests == tally.input_tokens == len(asker.seen)
    assert [results[place] for place in (0, 2, 3)] == [Unscored(COUNTED)] * 3


def test_more_requests_than_anyone_means_are_refused_before_the_first(
    loaded: LoadedModel, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 lists x 4 words, 4 words of the first explanation and 3 of the second: 19."""
    monkeypatch.setattr(lift_served, "MOST", 18)
    asker = _process(loaded)
    with pytest.raises(BadInput, match=r"would send 19 requests \(3 word lists x 4 distinct words, and 7 for"):
        list(_served(asker).simulate(tasks, Bar()))
    assert asker.seen == []
    monkeypatch.setattr(lift_served, "MOST", 19)
    assert len(list(_served(asker).simulate(tasks, Bar()))) == len(tasks)


@pytest.mark.parametrize("text", INJECTIONS)
def test_hostile_text_stays_one_line_of_data(text: str) -> None:
    asker = EchoAsker(lambda request: Failure("no", "refusal"))
    list(_served(asker, [text]).simulate([Task(text, (injected_context(text), injected_by_character(text)))], Bar()))
    assert asker.seen
    for request in asker.seen:
        ((role, content),) = request.messages
        assert role == ""
        assert content.startswith("Here is a list of examples of ")
        head, _, word = content.rpartition(":")
        assert head.isprintable()
        assert not word.strip() or word.strip().isprintable()
        assert not any(mark in content for mark in ("<|im_end|>", "</s>", "<s>", "[INST]", "<start_of_turn>"))
