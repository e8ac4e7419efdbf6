"""The example server: its numbers are the model's, and clients of OpenAI's protocol get along with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch

from autointerp.llm.budget.account import Usage
from autointerp.llm.capabilities import recall
from autointerp.llm.check import check
from autointerp.llm.ledger.ledger import open_ledger
from autointerp.llm.local.blocks import BLOCK
from autointerp.llm.local.model import LocalModel
from autointerp.llm.open import identity_of, open_asker
from autointerp.models import LoadedModel
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Simulation
from autointerp.simulate.digits import Digits, DigitsServed
from autointerp.simulate.interface import Task
from autointerp.study_models import Llm
from tests.llm.served import inclined_to_digits
from tests.loopback import served
from tests.simulate.contexts import context
from tests.tiny import END, POSITIONS, tiny_folder, tiny_tokenizer

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = "A river runs to the sea 🌊 é\n\tOne, two"
CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.set_num_threads(1)
    model = inclined_to_digits()
    model.tokenizer.chat_template = CHAT
    return model


@pytest.fixture(scope="module")
def url(loaded: LoadedModel) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        from echo_server import open_server

        with served(open_server(loaded, "127.0.0.1", 0)) as address:
            yield f"{address}/v1"


def test_a_port_that_is_taken_is_told(url: str, loaded: LoadedModel) -> None:
    from echo_server import open_server

    with pytest.raises(OSError, match="in use"):
        open_server(loaded, "127.0.0.1", int(url.removesuffix("/v1").rpartition(":")[2]))


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def _rows(loaded: LoadedModel, ids: Sequence[int]) -> Any:
    """transformers' own log-probabilities after each token."""
    with torch.inference_mode():
        return torch.log_softmax(loaded.model(torch.tensor([list(ids)])).logits[0].double(), dim=1)


def _greedy(loaded: LoadedModel, ids: Sequence[int], count: int) -> list[int]:
    written: list[int] = []
    while len(written) < count:
        token = int(_rows(loaded, [*ids, *written])[-1].argmax())
        if token == END:
            break
        written.append(token)
    return written


def _ids(loaded: LoadedModel, text: str) -> list[int]:
    ids: list[int] = loaded.tokenizer(text)["input_ids"]
    return ids


@pytest.mark.parametrize("text", [TEXT, "One two", " ".join(["The sea gives rain"] * 40)])
def test_an_echo_holds_the_model_s_own_numbers(client: openai.OpenAI, loaded: LoadedModel, text: str) -> None:
    answer = client.completions.create(model="m", prompt=text, max_tokens=0, echo=True, logprobs=5, temperature=0)
    (choice,) = answer.choices
    ids, told = _ids(loaded, text), choice.logprobs
    assert told is not None
    assert (choice.text, choice.finish_reason) == (text, "length")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), 0)
    assert told.tokens is not None
    assert "".join(told.tokens) == text
    assert told.text_offset == [len("".join(told.tokens[:place])) for place in range(len(ids))]
    rows = _rows(loaded, ids)
    assert told.token_logprobs is not None
    logprobs: list[float | None] = list(told.token_logprobs)
    assert logprobs[0] is None  # nothing comes before it
    expected = [float(row[token]) for row, token in zip(rows, ids[1:], strict=False)]
    np.testing.assert_allclose(np.array(logprobs[1:], dtype=float), expected, atol=1e-4)
    tops: Any = told.top_logprobs
    assert tops[0] is None
    for row, top in zip(rows, tops[1:], strict=False):
        values = row.topk(5).values.numpy()
        assert 1 <= len(top) <= 5  # fewer where two tokens are spelled alike
        assert max(top.values()) == pytest.approx(values[0], abs=1e-4)
        assert all(np.abs(values - value).min() < 1e-4 for value in top.values())


def test_what_two_prompts_share_changes_no_number(client: openai.OpenAI) -> None:
    shared = "The river runs to the sea; the sea gives rain. " * 40

    def told(prompt: str) -> Any:
        answer = client.completions.create(model="m", prompt=prompt, max_tokens=0, echo=True, logprobs=20)
        return answer.choices[0].logprobs

    first = told(shared + "one two")
    assert len(first.tokens) > 2 * BLOCK
    told("something else")
    told(shared + "three words of the list")
    assert told(shared + "one two") == first


def test_prompts_and_draws_come_in_order_and_are_what_each_is_alone(client: openai.OpenAI, loaded: LoadedModel) -> None:
    prompts = ["A river runs", "def area(width, height): return width", "x"]
    answer = client.completions.create(model="m", prompt=prompts, max_tokens=6, temperature=0, n=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    for choice, prompt in zip(answer.choices, [p for p in prompts for _ in range(2)], strict=True):
        written = _greedy(loaded, _ids(loaded, prompt), 6)
        assert choice.text == loaded.tokenizer.decode(written)
        assert choice.finish_reason == ("length" if len(written) == 6 else "stop")


def test_an_answer_tells_what_it_thought_of_its_own_tokens(client: openai.OpenAI, loaded: LoadedModel) -> None:
    answer = client.completions.create(model="m", prompt="One, two", max_tokens=4, temperature=0, logprobs=2, echo=True)
    ids = _ids(loaded, "One, two")
    ids += _greedy(loaded, ids, 4)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.tokens is not None
    assert "".join(told.tokens) == answer.choices[0].text
    assert len(told.tokens) == len(ids)
    expected = [float(row[token]) for row, token in zip(_rows(loaded, ids), ids[1:], strict=False)]
    np.testing.assert_allclose(np.array((told.token_logprobs or [])[1:], dtype=float), expected, atol=1e-4)


def test_a_seed_repeats_a_draw_and_draws_differ(client: openai.OpenAI) -> None:
    def texts(seed: int, n: int = 3) -> list[str]:
        answer = client.completions.create(model="m", prompt="The sea", max_tokens=12, temperature=3.0, n=n, seed=seed)
        return [choice.text for choice in answer.choices]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert len(set(texts(1))) == 3


def test_a_stop_text_ends_the_answer_and_is_not_in_it(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="m", prompt="The sea", max_tokens=8, temperature=0).choices[0].text
    assert len(whole) > 3
    stop = whole[2:4]
    (cut,) = client.completions.create(
        model="m", prompt="The sea", max_tokens=8, temperature=0, stop=["never", stop], logprobs=1
    ).choices
    assert (cut.text, cut.finish_reason) == (whole[: whole.index(stop)], "stop")
    assert cut.logprobs is not None
    assert "".join(cut.logprobs.tokens or []) == cut.text


def test_a_chat_goes_through_the_model_s_template(client: openai.OpenAI, loaded: LoadedModel) -> None:
    answer = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "One?"}], max_tokens=5, temperature=0, logprobs=True,
        top_logprobs=3, n=2,
    )  # fmt: skip
    ids = _ids(loaded, "user: One?\nassistant:")
    written = _greedy(loaded, ids, 5)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(ids)
    rows = _rows(loaded, [*ids, *written])[len(ids) - 1 :]
    for choice in answer.choices:
        assert choice.message.content == loaded.tokenizer.decode(written)
        assert choice.logprobs is not None
        entries = choice.logprobs.content or []
        assert "".join(entry.token for entry in entries) == choice.message.content
        expected = [float(row[token]) for row, token in zip(rows, written, strict=False)]
        np.testing.assert_allclose([entry.logprob for entry in entries], expected, atol=1e-4)
        for row, entry in zip(rows, entries, strict=False):
            found = [other.logprob for other in entry.top_logprobs]
            np.testing.assert_allclose(found, row.topk(3).values.tolist(), atol=1e-4)


def test_a_chat_is_held_to_a_json_schema(client: openai.OpenAI) -> None:
    whole = {"type": "object", "properties": {"a": {"type": "array", "items": {"enum": [0, 1]}, "minItems": 3,
             "maxItems": 3}}, "required": ["a"], "additionalProperties": False}  # fmt: skip
    answer = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "One?"}], max_tokens=80, temperature=2.0, n=3, seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": whole}},
    )  # fmt: skip
    found = [json.loads(choice.message.content or "")["a"] for choice in answer.choices]
    assert all(len(values) == 3 and set(values) <= {0, 1} for values in found)
    whatever = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "One?"}], response_format={"type": "json_object"},
        max_tokens=30, temperature=1.0, seed=1,
    )  # fmt: skip
    assert (whatever.choices[0].message.content or "").startswith("{")


def _post(url: str, body: bytes) -> tuple[int, Any]:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data=body, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)["error"]


@pytest.mark.parametrize(
    ("change", "status", "says", "param"),
    [
        ({"prompt_logprobs": 3}, 400, "Unrecognized request argument supplied: prompt_logprobs", "prompt_logprobs"),
        ({"logprobs": 21}, 400, "less than or equal to 20", "logprobs"),
        ({"prompt": 7}, 400, "prompt: ", "prompt"),
        ({"prompt": ""}, 400, "the prompt is empty", None),
        ({"max_tokens": POSITIONS}, 400, "maximum context length", None),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    url: str, change: dict[str, Any], status: int, says: str, param: str | None
) -> None:
    body = {"model": "m", "prompt": "The sea", "max_tokens": 1, **change}
    found, error = _post(f"{url}/completions", json.dumps(body).encode())
    assert (found, error["param"]) == (status, param)
    assert says in error["message"]


def test_other_paths_and_no_json_are_refused(url: str) -> None:
    asked = [("embeddings", b"{}"), ("completions", b"{"), ("completions", b"[]")]
    assert [_post(f"{url}/{path}", body)[0] for path, body in asked] == [404, 400, 400]


def test_digits_through_the_server_are_those_of_the_process(tmp_path: Path, url: str, loaded: LoadedModel) -> None:
    tasks = [
        Task("water", (context(0, "The", " sea", " gives", " rain"), context(1, " river", "\n", "\t", " é😀x"))),
        Task("lists", (context(2, "One", ",", " two", ";"),)),
    ]
    prompt, llm = load_prompt("digits/v1"), Llm(provider="openai", model="m", base_url=url)
    inside = dict(Digits(LocalModel(loaded, 2), prompt).simulate(tasks, Bar()))
    with open_ledger(tmp_path / "ledger.sqlite") as ledger, open_asker(llm, ledger, Usage(), "simulate") as asker:
        served = dict(DigitsServed(asker, prompt, "m", 0).simulate(tasks, Bar()))
    for place in range(len(tasks)):
        one, other = inside[place], served[place]
        assert isinstance(one, Simulation)
        assert isinstance(other, Simulation)
        np.testing.assert_allclose(other.predicted, one.predicted, atol=1e-4)
        assert np.ptp(one.predicted) > 0.01


def test_a_check_finds_out_what_it_gives(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path))
    llm = Llm(provider="openai", model="m", base_url=url)
    rows = dict(check(llm, "simulator").rows)
    assert rows["prompt logprobs"].startswith("yes: 1")  # 20, less those that are spelled alike
    assert rows["chat logprobs"] == "yes: 20 per token"
    assert rows["JSON mode"] == rows["JSON schema"] == "yes"
    assert rows["seed"] == "yes"
    assert recall(identity_of(llm), "m") is not None


def test_what_was_served_is_counted(url: str, client: openai.OpenAI) -> None:
    def served() -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url.removesuffix("/v1") + "/served", timeout=10) as answer:
            return json.load(answer)

    before = served()
    answer = client.completions.create(model="m", prompt=["A river", "x"], max_tokens=3, temperature=0)
    assert answer.usage is not None
    after = served()
    added = {name: after[name] - before[name] for name in after}
    used = {"prompt_tokens": answer.usage.prompt_tokens, "completion_tokens": answer.usage.completion_tokens}
    assert added == {"requests": 1, **used}
    assert used["prompt_tokens"] > 2


def test_the_script_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    command = [sys.executable, str(EXAMPLES / "echo_server.py"), "--model", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        status, answer = _post(f"{url}/completions", b'{"model": "m", "prompt": "The sea", "max_tokens": 2}')
        assert (status, answer["usage"]["prompt_tokens"]) == (200, len(tiny_tokenizer()("The sea")["input_ids"]))
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
