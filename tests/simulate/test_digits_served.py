"""`digits` through a server against `digits` in the process, on the same model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.llm.budget.account import Usage
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import open_asker
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from autointerp.prompting import built_in_folder, load_prompt
from autointerp.records import Scale, Simulation
from autointerp.simulate.digits import Digits, DigitsServed
from autointerp.simulate.interface import Task
from autointerp.study_models import Budget, Llm
from tests.kinds import tokenizer_of
from tests.llm.doubles import EchoAsker
from tests.llm.served import Form, inclined_to_digits, serving
from tests.simulate.contexts import context, predicted
from tests.tiny import tiny_model

TASKS = [
    Task("words for water", (context(0, "The", " sea", " gives", " rain"), context(1, " river", "\n", "\t", " é😀x"))),
    Task("lists", (context(2, "One", ",", " two", ";"),)),
]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return inclined_to_digits()


@pytest.mark.parametrize("form", ["echo", "prompt_logprobs"])
def test_the_server_s_numbers_are_the_process_s(tmp_path: Path, loaded: LoadedModel, form: Form) -> None:
    torch.set_num_threads(1)
    prompt = load_prompt("digits/v1")
    local = dict(Digits(LocalModel(loaded, 2), prompt).simulate(TASKS, Bar()))
    with serving(loaded, form) as server:
        llm = Llm(provider="openai", model="m", base_url=server.url)
        with (
            open_ledger(tmp_path / "ledger.sqlite") as ledger,
            open_asker(llm, ledger, Usage(tmp_path / "spending.sqlite", Budget()), "simulate") as asker,
        ):
            served = dict(DigitsServed(asker, prompt, "m", 0).simulate(TASKS, Bar()))
    flag = {"echo": "echo", "prompt_logprobs": "prompt_logprobs"}[form]
    assert sum(bool(body.get(flag)) for body in server.bodies) >= 3
    for place, task in enumerate(TASKS):
        ours, theirs = local[place], served[place]
        assert isinstance(ours, Simulation)
        assert isinstance(theirs, Simulation)
        assert theirs.scale is Scale.ZERO_TO_NINE
        assert theirs.predicted.shape == (len(task.contexts), len(task.contexts[0].pieces))
        np.testing.assert_allclose(theirs.predicted, ours.predicted, atol=1e-4)
    assert np.ptp(predicted(local[0])) > 0.05


def test_the_process_serves_log_probabilities_of_a_prompt_as_well(loaded: LoadedModel) -> None:
    model, prompt = LocalModel(loaded, 2), load_prompt("digits/v1")
    asked = DigitsServed(EchoAsker(lambda request: model.generate([request])[0]), prompt, "m", 0)
    local, through = dict(Digits(model, prompt).simulate(TASKS, Bar())), dict(asked.simulate(TASKS, Bar()))
    for place in (0, 1):
        np.testing.assert_allclose(predicted(through[place]), predicted(local[place]), atol=1e-4)


def test_examples_may_hide_values_too(loaded: LoadedModel, tmp_path: Path) -> None:
    """As neuron-explainer's prompt does; what stands there is not read."""
    theirs = built_in_folder() / "digits" / "v1.toml"
    (tmp_path / "digits").mkdir()
    written = theirs.read_text("utf8").replace(" paid\t0\n", " paid\tunknown\n")
    assert "paid\tunknown" in written
    (tmp_path / "digits" / "v1.toml").write_text(written, "utf8")
    model, prompt = LocalModel(loaded, 2), load_prompt("digits/v1", tmp_path)
    asked = DigitsServed(EchoAsker(lambda request: model.generate([request])[0]), prompt, "m", 0)
    local, through = dict(Digits(model, prompt).simulate(TASKS, Bar())), dict(asked.simulate(TASKS, Bar()))
    for place in (0, 1):
        np.testing.assert_allclose(predicted(through[place]), predicted(local[place]), atol=1e-4)


def test_lines_that_are_put_together_have_no_spaces_of_the_tokenizer_s_own() -> None:
    """Llama 2's writes one before every text that it is given."""
    tokenizer = tokenizer_of("llama-2")
    model = LoadedModel(tiny_model("llama"), tokenizer, "tiny", torch.device("cpu"))
    ids, positions = Digits(LocalModel(model, 1), load_prompt("digits/v1")).layout("words", TASKS[0].contexts[0])
    assert str(tokenizer.decode(ids)).endswith("\nThe\tunknown\n sea\tunknown\n gives\tunknown\n rain\tunknown\n")
    assert tokenizer.convert_ids_to_tokens([ids[place] for place in positions]) == ["<0x09>"] * 4


def test_the_prompt_hides_every_value(loaded: LoadedModel) -> None:
    simulator = DigitsServed(EchoAsker(lambda r: model.generate([r])[0]), load_prompt("digits/v1"), "m", 3)
    model = LocalModel(loaded, 2)
    requests = list(simulator.requests(TASKS))
    assert [r.messages[0][1].split("\nText:\n")[-1] for r in requests] == [
        "The\tunknown\n sea\tunknown\n gives\tunknown\n rain\tunknown\n",
        " river\tunknown\n\\n\tunknown\n\\t\tunknown\n é😀x\tunknown\n",
        "One\tunknown\n,\tunknown\n two\tunknown\n;\tunknown\n",
    ]
    assert {(r.max_tokens, r.temperature, r.prompt_logprobs, r.seed) for r in requests} == {(1, 0.0, 20, 3)}
    # What the process lays out token by token spells the same prompt.
    ids, _ = Digits(model, load_prompt("digits/v1")).layout("words for water", TASKS[0].contexts[1])
    assert loaded.tokenizer.decode(ids) == requests[1].messages[0][1]
