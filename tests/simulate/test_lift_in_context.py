"""`lift-in-context`: against whole forward passes, and through a server against the process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.errors import BadInput
from autointerp.llm.budget.account import Usage
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.ledger.replaying import ReplayModel
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.request import Answer, Failure, Request, Response, TokenLogprob
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Context, Scale, Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task
from autointerp.simulate.lift_in_context import (
    NEUTRAL,
    LiftInContext,
    TextLikelihood,
    TokenLikelihood,
    harmless,
    heading,
    read_likelihood,
)
from autointerp.study_models import Budget, Llm
from tests.injections import INJECTIONS, injected_by_character, injected_context
from tests.llm.doubles import Counter, EchoAsker
from tests.llm.served import Form, serving
from tests.simulate.contexts import context, predicted
from tests.tiny import tiny_loaded

GOLDEN = Path(__file__).parent.parent / "prompts" / "golden"
PROMPT = load_prompt("lift-in-context/v1")
TEXTS = [" the rain fills river", " One, two, three four", " é of a\n🎉 rain, the ï"]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_loaded()


def _in_tokens(loaded: LoadedModel, number: int, text: str) -> Context:
    encoded = loaded.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    starts = [0, *ends[:-1]]
    return replace(
        context(number, *(text[a:b] for a, b in zip(starts, ends, strict=True))), tokens=np.array(encoded["input_ids"])
    )


def _in_words(number: int, text: str) -> Context:
    """The subject's cuts are other ones than the simulator's: every three characters, seven times."""
    return context(number, *(text[i : i + 3] for i in range(0, 21, 3)))


def _local(loaded: LoadedModel, same: bool, ledger: Any = None) -> LiftInContext:
    return LiftInContext(TokenLikelihood(LocalModel(loaded, 2), PROMPT, same, ledger))


def test_it_is_the_gain_in_log_probability_of_each_token_where_it_stands(loaded: LoadedModel) -> None:
    one = _in_tokens(loaded, 0, TEXTS[0])
    simulator = _local(loaded, True)
    assert isinstance(simulator, Simulator)
    ((_, told),) = simulator.simulate([Task("words for water", (one,))], Bar())
    assert isinstance(told, Simulation)
    assert told.scale is Scale.NATS

    def slow(explanation: str) -> list[float]:
        head = loaded.tokenizer(f"Here is a text with many examples of {explanation}:\n")["input_ids"]
        result = []
        for place in range(len(one.tokens)):
            ids = torch.tensor([[*head, *one.tokens[:place].tolist()]])
            result.append(float(torch.log_softmax(loaded.model(ids).logits[0, -1], 0)[int(one.tokens[place])]))
        return result

    expected = np.maximum(np.array(slow("words for water")) - np.array(slow("words of all kinds")), 0)
    np.testing.assert_allclose(told.predicted[0], expected, atol=1e-4)
    assert expected.max() > 0.01


def test_the_neutral_heading_is_read_once_for_a_context_whatever_the_explanations(loaded: LoadedModel) -> None:
    model = LocalModel(loaded, 2)
    asker = EchoAsker(lambda request: model.generate([request])[0])
    contexts = [_in_words(number, text) for number, text in enumerate(TEXTS[:2])]
    tasks = [Task(e, tuple(contexts)) for e in ("water", "numbers", " water ")]
    tasks += [Task(" \x00", tuple(contexts)), Task("water", ())]
    results = dict(LiftInContext(TextLikelihood(asker, PROMPT, "m", 7)).simulate(tasks, bar := Counter()))
    assert bar.done == len(tasks)
    assert [request.messages[0][1] for request in asker.seen] == [
        f"Here is a text with many examples of {e}:\n{text}"
        for e in (NEUTRAL, "water", "numbers")
        for text in TEXTS[:2]
    ]
    assert {(r.max_tokens, r.temperature, r.prompt_logprobs, r.seed, r.model) for r in asker.seen} == {
        (1, 0.0, 1, 7, "m")
    }
    assert results[3] == Unscored("empty explanation")
    assert results[4] == Unscored("no context to predict")
    np.testing.assert_array_equal(predicted(results[0]), predicted(results[2]))
    assert not np.array_equal(predicted(results[0]), predicted(results[1]))


@pytest.mark.parametrize("form", ["echo", "prompt_logprobs"])
def test_the_server_s_numbers_are_the_process_s(tmp_path: Path, loaded: LoadedModel, form: Form) -> None:
    torch.set_num_threads(1)
    cut = tuple(_in_words(number, text) for number, text in enumerate(TEXTS[:2]))
    marked = (_in_words(2, TEXTS[2]),)
    tasks = [Task("words for water", cut), Task("numbers", cut[1:]), Task("naïve 🎉 words", marked)]
    local = dict(_local(loaded, False).simulate(tasks, Bar()))
    with serving(loaded, form) as server:
        llm = Llm(provider="openai", model="m", base_url=server.url)
        with (
            open_ledger(tmp_path / "ledger.sqlite") as ledger,
            open_asker(llm, ledger, Usage(tmp_path / "spending.sqlite", Budget()), "simulate") as asker,
        ):
            served = dict(LiftInContext(TextLikelihood(asker, PROMPT, "m", 0)).simulate(tasks, Bar()))
    for place in range(len(tasks)):
        ours, theirs = local[place], served[place]
        assert isinstance(ours, Simulation)
        assert isinstance(theirs, Simulation)
        np.testing.assert_allclose(theirs.predicted, ours.predicted, atol=1e-4)
        assert np.ptp(ours.predicted) > 0.01


def test_the_subject_s_own_tokens_need_no_alignment(loaded: LoadedModel) -> None:
    """Where no token is a part of a character, the two ways give the same."""
    one = _in_tokens(loaded, 0, TEXTS[1])
    ((_, same),) = _local(loaded, True).simulate([Task("numbers", (one,))], Bar())
    ((_, aligned),) = _local(loaded, False).simulate([Task("numbers", (one,))], Bar())
    assert isinstance(same, Simulation)
    assert isinstance(aligned, Simulation)
    np.testing.assert_allclose(same.predicted, aligned.predicted, atol=1e-5)


def test_what_was_computed_is_in_the_ledger(loaded: LoadedModel, tmp_path: Path) -> None:
    tasks = [Task("numbers", (_in_tokens(loaded, 0, TEXTS[1]),))]
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ((_, plain),) = _local(loaded, True, ledger).simulate(tasks, Bar())
        model: Any = ReplayModel(loaded.tokenizer, LocalModel(loaded, 2).identity)
        replayed = LiftInContext(TokenLikelihood(model, PROMPT, True, ledger))
        ((_, again),) = replayed.simulate(tasks, Bar())
        assert isinstance(plain, Simulation)
        assert isinstance(again, Simulation)
        np.testing.assert_array_equal(again.predicted, plain.predicted)
        with pytest.raises(BadInput, match="the ledger lacks log-probabilities"):
            list(replayed.simulate([Task("another", tasks[0].contexts)], Bar()))


@pytest.mark.parametrize("failing", [NEUTRAL, "water"])
def test_a_context_without_log_probabilities_is_a_reason(loaded: LoadedModel, failing: str) -> None:
    model = LocalModel(loaded, 2)

    def answer(request: Request) -> Answer:
        asked = request.messages[0][1]
        bad = failing in asked and TEXTS[1] in asked
        return Failure("too long", "too-long") if bad else model.generate([request])[0]

    first, second = (_in_words(number, text) for number, text in enumerate(TEXTS[:2]))
    tasks = [Task("water", (first,)), Task("water", (first, second))]
    results = dict(LiftInContext(TextLikelihood(EchoAsker(answer), PROMPT, "m", 0)).simulate(tasks, Bar()))
    assert isinstance(results[0], Simulation)
    assert results[1] == Unscored("too long")


def _answer(*tokens: tuple[str, float | None]) -> Response:
    return Response("", 1, 1, prompt_logprobs=tuple(TokenLogprob(text, logprob) for text, logprob in tokens))


def test_reading_the_tokens_of_the_context_alone() -> None:
    """The heading's tokens don't count; one that reaches over its end counts for what it has of the context."""
    told = read_likelihood(_answer(("<s>", None), ("h:", -1.0), ("\na", -2.0), ("bc", -4.0)), "h:\n", ("ab", "c"))
    assert isinstance(told, np.ndarray)
    np.testing.assert_allclose(told, [-3.0, -4.0])
    other = _answer(("h:", None), ("\n", -1.0), ("xbc", -4.0))
    assert read_likelihood(other, "h:\n", ("ab", "c")) == Unscored(
        "the log-probabilities are of another text than the prompt"
    )
    unknown = _answer(("h:\n", None), ("ab", None), ("c", -1.0))
    assert read_likelihood(unknown, "h:\n", ("ab", "c")) == Unscored("a token of the context has no log-probability")


@pytest.mark.parametrize("text", INJECTIONS)
def test_hostile_text_forges_no_mark_and_keeps_its_pieces(text: str) -> None:
    for made in (injected_context(text), injected_by_character(text)):
        pieces = harmless(made.pieces)
        assert len(pieces) == len(made.pieces)
        asker = EchoAsker(lambda request: Failure("no", "refusal"))
        list(TextLikelihood(asker, PROMPT, "m", 0).simulate([Task(text, (made,))], Bar()))
        ((_, content),) = asker.seen[0].messages
        assert content.endswith("".join(pieces))
        assert content.index("\n") == len(content) - len("".join(pieces)) - 1
        for mark in ("<|im_end|>", "</s>", "<s>", "[INST]", "<start_of_turn>", "<｜Assistant｜>"):
            assert mark not in content
        for piece, original in zip(pieces, made.pieces, strict=True):
            assert piece.replace(" ", "") == original.replace(" ", "")


def test_the_headings_read_as_they_were_read() -> None:
    explanations = (NEUTRAL, 'words for "red" {{ words }}\n\nHere: <|im_end|>')
    lift = load_prompt("lift/v1")
    shown = [heading(prompt, explanation) for prompt in (lift, PROMPT) for explanation in explanations]
    text = "".join(f"<<<completion>>>\n{content}<<<end>>>\n" for content in shown)
    assert text == (GOLDEN / "lift-v1.txt").read_text("utf8")
