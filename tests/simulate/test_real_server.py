"""The simulators that ask, through a real server (llama.cpp on loopback) and in the process, on the same model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from autointerp.llm.budget.account import Usage
from autointerp.llm.client import Asker
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.llm.questions import ask_all
from autointerp.llm.request import Request, Response
from autointerp.models import load_model
from autointerp.prompting import load_prompt
from autointerp.records import Simulation, Unscored
from autointerp.simulate.digits_output import DigitsOutput
from autointerp.simulate.interface import Task
from autointerp.simulate.sparse_json import SparseJson
from autointerp.study_models import Budget, Llm
from tests.injections import INJECTIONS, injected_context
from tests.llm.doubles import Counter, EchoAsker, request
from tests.llm.llama import llama
from tests.simulate.contexts import context

pytestmark = [pytest.mark.offline_model, pytest.mark.slow]
CONTEXT = context(0, " The", " cat", " sat", " on", " the", " mat", " while", " some", " birds", " sang", ",", " high")
TASK = Task("names of animals", (CONTEXT,))
_ROUNDING = 0.1
"""Nats. The server computes with packed weights and rounded activations, the process with unpacked ones."""


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    folder = tmp_path_factory.mktemp("served")
    with llama(2048) as url, open_ledger(folder / "ledger.sqlite") as ledger:
        llm = Llm(provider="openai", model="m", base_url=url, concurrency=1, reasks=0)
        with open_asker(llm, ledger, Usage(folder / "spending.sqlite", Budget()), "simulate") as opened:
            yield opened


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return LocalModel(load_model("builtin"), 4)


def test_server_and_process_give_the_same_log_probabilities(asker: Asker, model: LocalModel) -> None:
    asked = request("Count from one to ten in words.", max_tokens=64, top_logprobs=20)
    (served,), (local,) = ask_all(asker, [asked], Counter()), model.generate([asked])
    assert isinstance(served, Response)
    assert isinstance(local, Response)
    assert served.text == local.text
    assert len(served.logprobs) == len(local.logprobs) > 20
    apart: list[float] = []
    for ours, theirs in zip(local.logprobs, served.logprobs, strict=True):
        assert theirs.text == ours.text == theirs.top[0][0] == ours.top[0][0]
        assert theirs.top[0][1] == pytest.approx(ours.top[0][1], abs=_ROUNDING)
        found = dict(theirs.top)
        apart += [abs(found[text] - logprob) for text, logprob in ours.top[:5] if text in found]
    assert len(apart) > 4 * len(local.logprobs)
    assert np.median(apart) < _ROUNDING


def test_a_weak_model_follows_the_lines_of_digits_output(asker: Asker, model: LocalModel) -> None:
    def write(asked: Request) -> Response:
        (answer,) = model.generate([asked])
        assert isinstance(answer, Response)
        return answer

    prompt = load_prompt("digits-output/v1")
    ((_, served),) = DigitsOutput(asker, prompt, "m", 0).simulate([TASK], Counter())
    ((_, local),) = DigitsOutput(EchoAsker(write), prompt, "m", 0).simulate([TASK], Counter())
    assert isinstance(served, Simulation)
    assert isinstance(local, Simulation)
    np.testing.assert_allclose(served.predicted, local.predicted, atol=0.6)  # nats of 0.1 at each of ten digits
    assert np.corrcoef(served.predicted[0], local.predicted[0])[0, 1] > 0.99
    assert served.predicted[0].argmax() == CONTEXT.pieces.index(" cat")
    assert not np.array_equal(served.predicted, served.predicted.round())  # expected values, not what was written


@pytest.mark.parametrize("kind", [SparseJson, DigitsOutput])
def test_what_a_weak_model_makes_of_an_attack_is_a_value_or_a_reason(asker: Asker, kind: type[SparseJson]) -> None:
    tasks = [Task(INJECTIONS[0], (injected_context(text),)) for text in (INJECTIONS[2], INJECTIONS[9], INJECTIONS[18])]
    results = dict(kind(asker, load_prompt(f"{kind.name}/v1"), "m", 0).simulate(tasks, Counter()))
    assert sorted(results) == [0, 1, 2]
    for result in results.values():
        if isinstance(result, Unscored):
            assert result.reason
        else:
            assert result.predicted.shape == (1, 3)
            assert result.predicted.min() >= 0
            assert result.predicted.max() <= 9


def test_no_text_becomes_a_mark_of_a_turn(asker: Asker) -> None:
    """The server looks for its template's marks in all that it is sent: what is quoted costs more tokens than marks."""
    prompt = load_prompt("sparse-json/v1")
    simulator = SparseJson(asker, prompt, "m", 0)
    mark = "<|im_end|>"
    (quoted,) = simulator.requests([Task("e", (context(0, mark),))])
    (role, content) = quoted.messages[-1]
    assert mark not in content
    raw = Request(((role, content.replace("\\u003c", "<")),), "m", 1, 0.0, 0)
    safe = Request(((role, content),), "m", 1, 0.0, 0)
    counts = [answer.input_tokens or 0 for answer in ask_all(asker, [safe, raw], Counter())]
    assert counts[0] > counts[1] + 6
