"""Log-probabilities of the local provider, against a model that reads the whole text again for every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.errors import BadInput
from autointerp.llm.local.blocks import BLOCK
from autointerp.llm.local.decode import pick
from autointerp.llm.local.logprobs import Spelling, written
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Failure, Request, Response
from tests.llm.doubles import completion, request
from tests.llm.local.test_model import TEXTS, ids_of, loaded, slow_logits
from tests.tiny import END, tiny_tokenizer


def slow_logprobs(prompt: Sequence[int], tokens: Sequence[int], count: int) -> list[tuple[float, list[str]]]:
    """Of each token after the prompt: its log-probability, and the texts of the likeliest ones, one by one."""
    tokenizer, found = loaded().tokenizer, []
    for place, token in enumerate(tokens):
        row = torch.log_softmax(slow_logits([*prompt, *tokens[:place]])[-1].double(), 0)
        order = row.argsort(descending=True)[:count].tolist()
        found.append((float(row[token]), [str(tokenizer.decode([i])) for i in order]))
    return found


def test_log_probabilities_of_an_answer_as_one_by_one_and_the_answer_stays_as_it_is() -> None:
    model, counts = LocalModel(loaded(), 8), (3, 20, 7, 1, 0, 5)
    stops = ("q", "Z", "#", "ain", "ea", "%")
    requests = [
        completion(text, max_tokens=150, temperature=(0.0, 2.0, 3.0)[i % 3], sample=i, stop=stops)
        for i, text in enumerate([*TEXTS, "The sea"])
    ]
    plain = model.generate(requests)
    asked = model.generate([replace(r, top_logprobs=n) for r, n in zip(requests, counts, strict=True)])
    checked = 0
    for one, count, before, answer in zip(requests, counts, plain, asked, strict=True):
        if isinstance(before, Failure) or isinstance(answer, Failure):
            assert answer == before
            continue
        assert replace(answer, logprobs=()) == before
        assert "".join(entry.text for entry in answer.logprobs) == (answer.text if count else "")
        slow = slow_logprobs(ids_of(one.messages[0][1]), _written(one), count)[: len(answer.logprobs)]
        for entry, (logprob, top) in zip(answer.logprobs, slow, strict=True):
            assert entry.logprob == pytest.approx(logprob, abs=1e-4)
            assert [text for text, _ in entry.top] == top
            values = [value for _, value in entry.top]
            assert values == sorted(values, reverse=True)
            checked += 1
    assert checked > 20


def _written(request: Request) -> list[int]:
    """The tokens that a request makes the model pick, up to what ends the answer."""
    prompt, tokens = ids_of(request.messages[0][1]), list[int]()
    rng = np.random.default_rng(request.draw_seed)
    while not any(stop in loaded().tokenizer.decode(tokens) for stop in request.stop):
        logits = slow_logits(prompt + tokens)[-1:]
        tokens.append(int(pick(logits, [request.temperature], [rng.random()])[0]))
    return tokens


def test_tokens_of_one_character_share_it_out() -> None:
    spelling = Spelling(tiny_tokenizer())
    ids = ids_of("é😀 sea")
    shares = spelling.shares(ids)
    assert len(ids) == len(shares) > 4
    assert [share for share in shares if share][:2] == ["é", "😀"]
    assert "".join(shares) == "é😀 sea"
    assert "".join(spelling.shares(ids[:-3])) == tiny_tokenizer().decode(ids[:-3])
    assert [spelling.alone(i) for i in ids_of(" sea</s>")][:1] == [" sea"]
    assert spelling.alone(END) == "</s>"


@pytest.mark.parametrize("kept", range(9))
def test_a_stop_text_may_end_the_answer_inside_a_token(kept: int) -> None:
    ids = ids_of("sea rain")
    entries = written(ids, [(-float(n), ()) for n in range(len(ids))], kept, Spelling(tiny_tokenizer()))
    assert "".join(entry.text for entry in entries) == "sea rain"[:kept]
    assert all(entry.text for entry in entries)
    assert [entry.logprob for entry in entries] == [-float(n) for n in range(len(entries))]


@pytest.mark.parametrize("length", [2, 30, BLOCK, BLOCK + 1, 2 * BLOCK + 40])
def test_log_probabilities_of_a_prompt_as_in_one_pass(length: int) -> None:
    tokenizer = loaded().tokenizer
    text = str(tokenizer.decode(np.random.default_rng(length).integers(60, 90, size=length).tolist()))
    ids = ids_of(text)
    asked = completion(text, max_tokens=1, prompt_logprobs=4)
    (answer,) = LocalModel(loaded(), 4).generate([asked])
    assert isinstance(answer, Response)  # cut after one token: the prompt is what was asked about
    entries = answer.prompt_logprobs
    assert len(entries) == len(ids) == answer.input_tokens
    assert "".join(entry.text for entry in entries) == text
    assert (entries[0].logprob, entries[0].top) == (None, ())
    rows = torch.log_softmax(slow_logits(ids), dim=1)
    for entry, row, token in zip(entries[1:], rows, ids[1:], strict=False):
        assert entry.logprob == pytest.approx(float(row[token]), abs=1e-4)
        assert [t for t, _ in entry.top] == [tokenizer.decode([i]) for i in row.topk(4).indices.tolist()]


def test_a_chat_s_prompt_has_no_log_probabilities() -> None:
    with pytest.raises(BadInput, match="log-probabilities of the prompt of a chat: use a prompt of form completion"):
        LocalModel(loaded(), 4).generate([request(prompt_logprobs=3)])
