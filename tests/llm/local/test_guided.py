"""Answers of a model in the process that are held to a JSON schema."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import BadInput, CheckFailed
from autointerp.judge.verdicts import read_choice, read_yes_no
from autointerp.llm.answers.json import VALUE, YES_NO, answer_object, between, listed
from autointerp.llm.local.decode import ending_tokens
from autointerp.llm.local.guided import Guide
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Failure, Response
from autointerp.simulate.anthropic_batch import read_lines
from autointerp.simulate.sparse_json import read_sparse
from tests.llm.doubles import completion, forward_passes
from tests.llm.local.test_model import loaded

TWO = answer_object({"a": listed(YES_NO, 2)})


def guide() -> Guide:
    return Guide(loaded().tokenizer, ending_tokens(loaded().model, loaded().tokenizer))


def pieces() -> list[str]:
    tokenizer = loaded().tokenizer
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"]
    return [str(tokenizer.decode([*anchor, token]))[1:] for token in range(len(tokenizer))]


def test_the_masks_are_those_of_trying_every_token() -> None:
    """The slow twin: the answers are four texts, and a token may stand where one of them goes on with it."""
    texts = [json.dumps({"a": list(pair)}) for pair in product((0, 1), repeat=2)]
    special, rng = set(loaded().tokenizer.all_special_ids), np.random.default_rng(0)
    for _ in range(8):
        held, written = guide().held(TWO), ""
        assert held is not None
        while not held.ended:
            slow = {
                token for token, piece in enumerate(pieces())
                if token not in special and piece and any(text.startswith(written + piece) for text in texts)
            }  # fmt: skip
            assert set(np.flatnonzero(held.allowed()).tolist()) == slow
            assert held.only() == (next(iter(slow)) if len(slow) == 1 else None)
            token = int(rng.choice(sorted(slow)))
            held.take(token)
            written += pieces()[token]
        assert written in texts


def test_what_is_not_allowed_can_not_be_taken() -> None:
    held = guide().held(TWO)
    assert held is not None
    logits = held.masked(torch.zeros(loaded().model.config.vocab_size + 5))
    (refused,) = [t for t, piece in enumerate(pieces()) if piece == "x"][:1]
    assert logits[refused] == logits[-1] == -torch.inf
    with pytest.raises(CheckFailed, match="does not allow token"):
        held.take(refused)


def test_a_schema_that_can_not_be_followed_is_one_line() -> None:
    with pytest.raises(BadInput, match="can't be followed"):
        guide().held('{"type": "nothing"}')


READERS = {
    "yes-no": (answer_object({"answers": listed(YES_NO, 5)}), lambda r: read_yes_no(r, 5)),
    "choice": (answer_object({"intruder": between(1, 5)}), lambda r: read_choice(r, 5)),
    "lines": (answer_object({"1": listed(VALUE, 9), "2": listed(VALUE, 4)}), lambda r: read_lines(r, [9, 4])),
    "sparse": (answer_object({str(i): VALUE for i in range(12)}, all_of_them=False), lambda r: read_sparse(r, 12)),
}


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.integers(0, 1000), st.sampled_from([0.0, 1.0, 3.0]))
def test_a_model_that_knows_nothing_is_read_all_the_same(name: str, seed: int, temperature: float) -> None:
    schema, read = READERS[name]
    asked = completion("The sea", max_tokens=400, temperature=temperature, seed=seed, schema=schema, top_logprobs=20)
    (answer,) = LocalModel(loaded(), 4).generate([asked])
    assert isinstance(answer, Response)
    value = read(answer)
    assert isinstance(value, tuple | np.ndarray), value


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "phi"])
def test_tokens_without_a_choice_change_no_answer(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow twin reads every token by itself."""
    requests = [
        completion(f"The sea {name}", max_tokens=400, temperature=heat, seed=5, sample=place, schema=schema)
        for place, heat in enumerate((0.0, 1.0, 3.0))
        for name, (schema, _) in READERS.items()
    ]
    requests += [completion("A river runs", max_tokens=60, temperature=1.0), replace(requests[2], max_tokens=9)]
    requests += [replace(requests[0], top_logprobs=3, sample=7), completion("A", temperature=1.0, top_logprobs=2)]
    model = LocalModel(loaded(family), len(requests))
    with forward_passes(loaded(family)) as passes:
        together = model.generate(requests)
    monkeypatch.setattr("autointerp.llm.local.decode._forced", lambda row: None)
    with forward_passes(loaded(family)) as slow_passes:
        slow = model.generate(requests)
    assert [replace(answer, logprobs=()) if isinstance(answer, Response) else answer for answer in together] == [
        replace(answer, logprobs=()) if isinstance(answer, Response) else answer for answer in slow
    ]
    for one, other in zip(together, slow, strict=True):
        if isinstance(one, Response) and isinstance(other, Response):
            values = [[value for entry in answer.logprobs for _, value in entry.top] for answer in (one, other)]
            assert values[0] == pytest.approx(values[1], abs=1e-4)
    assert max(tokens for _, tokens in passes[2:]) > 3
    assert len(passes) < len(slow_passes)
    assert {type(answer) for answer in together} == {Response, Failure}


def test_a_row_with_much_to_read_does_not_pad_the_others() -> None:
    """It reads as many tokens at a time as most rows have, and goes on when they do."""
    long = answer_object({"a": VALUE, "the river of the sea " * 4: VALUE, "b": VALUE})
    schemas = [long, *[READERS["lines"][0]] * 4]
    asked = [completion("The sea", max_tokens=400, schema=s, temperature=1.0, sample=i) for i, s in enumerate(schemas)]
    with forward_passes(loaded()) as passes:
        answers = LocalModel(loaded(), 5).generate(asked)
    assert answers[:1] == LocalModel(loaded(), 5).generate(asked[:1])
    assert max(tokens for rows, tokens in passes[2:] if rows == 5) < 12
    with forward_passes(loaded()) as passes:
        LocalModel(loaded(), 5).generate(asked[:1])
    assert max(tokens for _, tokens in passes[2:]) > 20


@pytest.mark.parametrize(("rows", "lengths"), [(1, 400), (1, 20), (3, 20)], ids=["past", "inside", "padded past"])
def test_where_a_sliding_window_may_end_every_token_is_read_by_itself(rows: int, lengths: int) -> None:
    """Rows that are out of step are padded: three of 20 tokens may need 60 places, and the window has 32."""
    schema, _ = READERS["lines"]
    asked = [
        completion("The", max_tokens=lengths, temperature=2.0, sample=i, schema=schema, top_logprobs=0)
        for i in range(rows)
    ]
    LocalModel(loaded("gemma2"), rows).generate(asked)
    with forward_passes(loaded("gemma2")) as passes:
        LocalModel(loaded("gemma2"), rows).generate(asked)
    by_itself = {tokens for _, tokens in passes[2:]} == {1}
    assert by_itself == ((rows, lengths) != (1, 20))


def test_probabilities_are_those_among_what_is_allowed() -> None:
    schema = answer_object({"answers": listed(YES_NO, 1)})
    (answer,) = LocalModel(loaded(), 1).generate([completion("The sea", max_tokens=60, schema=schema, top_logprobs=20)])
    assert isinstance(answer, Response)
    (place,) = [entry for entry in answer.logprobs if entry.text.strip() in ("0", "1")]
    assert sum(np.exp(value) for _, value in place.top) == pytest.approx(1.0, abs=1e-5)
    assert {text.strip() for text, _ in place.top} <= {"0", "1"}


def test_neighbours_without_a_schema_answer_as_they_do_alone() -> None:
    model = LocalModel(loaded(), 4)
    free = [completion(text, max_tokens=10, temperature=1.0, seed=3) for text in ("The sea", "A river runs")]
    held = completion("The rain", max_tokens=60, schema=TWO)
    assert model.generate([free[0], held, free[1]])[::2] == model.generate(free)


def test_an_answer_that_does_not_fit_is_cut_and_a_failure() -> None:
    (answer,) = LocalModel(loaded(), 1).generate([completion("The sea", max_tokens=3, schema=TWO)])
    assert isinstance(answer, Failure)
    assert answer.finish == "length"


def test_a_tokenizer_in_python_alone_is_not_held() -> None:
    from transformers import PythonBackend

    class Letters(PythonBackend):
        vocab_size = 3

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0, "b": 1, "<unk>": 2}

        def _tokenize(self, text: str, **_: object) -> list[str]:
            return list(text)

        def _convert_token_to_id(self, token: str) -> int:
            return self.get_vocab().get(token, 2)

    assert Guide(Letters(), frozenset({2})).held(TWO) is None


def test_the_schema_is_part_of_what_is_asked() -> None:
    asked = completion("The sea", schema=TWO)
    assert replace(asked, schema="") != asked
    items = {"type": "array", "items": {"type": "integer", "enum": [0, 1]}, "minItems": 2, "maxItems": 2}
    whole = {"type": "object", "properties": {"a": items}, "required": ["a"], "additionalProperties": False}
    assert json.loads(TWO) == whole
