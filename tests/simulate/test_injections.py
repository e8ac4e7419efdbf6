"""Texts out of contexts and explanations that try to be more than data, in every prompt that carries such text."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.contexts.naming import LIST
from autointerp.explain.contrastive import Contrastive
from autointerp.explain.highlight import Highlight
from autointerp.explain.interface import ExplainSettings, Shown, ShownContext
from autointerp.explain.phrase import Phrase
from autointerp.explain.token_activation import TokenActivation
from autointerp.llm.local.model import LocalModel
from autointerp.llm.request import Request
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted, unmarked
from autointerp.records import Context, Unscored
from autointerp.simulate.anthropic_batch import AnthropicBatch
from autointerp.simulate.digits import HIDDEN, Digits, DigitsServed
from autointerp.simulate.digits_output import DigitsOutput
from autointerp.simulate.interface import Task
from autointerp.simulate.lift import Lift, prefix
from autointerp.simulate.one_by_one import OneByOneServed
from autointerp.simulate.reader import TrainedReader
from autointerp.simulate.sparse_json import SparseJson
from autointerp.study_models import Llm
from tests.injections import INJECTIONS, injected_by_character, injected_context
from tests.llm.doubles import EchoAsker
from tests.simulate.contexts import as_json, in_lines, last_token, listed
from tests.tiny import tiny_loaded

_MARK = re.compile(r"<[|｜][^\s<>]*[|｜]>|</?s>|<\w+_of_\w+>|\[/?INST\]|<</?SYS>>")
_SETTINGS = ExplainSettings(Llm(model="m"))
CONTEXTS: Sequence[Callable[[str], Context]] = (injected_context, injected_by_character)
EVERY = [(text, make) for text in INJECTIONS for make in CONTEXTS]


def test_there_are_twenty_and_they_are_hostile() -> None:
    assert len(set(INJECTIONS)) == 20
    assert any(_MARK.search(text) for text in INJECTIONS)
    assert {"\n", "\r", "\t", "\u2028", "\x1b", '"', "»"} <= set("".join(INJECTIONS))


def _requests(kind: Any, explanation: str, context: Context) -> Request:
    simulator = kind(EchoAsker(lambda request: as_json([])), load_prompt(f"{kind.name}/v1"), "m", 0)
    (request,) = simulator.requests([Task(explanation, (context,))])
    assert isinstance(request, Request)
    return request


def _lines(text: str) -> list[str]:
    """Lines as anyone might cut them, not only at \\n."""
    return text.splitlines()


def _unseen(text: str) -> set[str]:
    return {c for c in text if not c.isprintable() and c not in "\n\t" and unicodedata.category(c) != "Zs"}


@pytest.mark.parametrize("kind", [SparseJson, DigitsOutput])
def test_listed_tokens_stay_tokens(kind: Any) -> None:
    for text, make in EVERY:
        context = make(text)
        request = _requests(kind, text, context)
        plain = _requests(kind, "plain", make("x" * len(text)))
        assert [role for role, _ in request.messages] == [role for role, _ in plain.messages]
        assert request.messages[:-1] == plain.messages[:-1]  # nothing of the data is before the last message
        data = request.messages[-1][1]
        assert len(_lines(data)) == len(_lines(plain.messages[-1][1])) == data.count("\n") + 1
        assert listed(request) == list(context.pieces)
        assert not _MARK.search(data)
        assert not _unseen(data)
        assert request.max_tokens == plain.max_tokens
        first = data.splitlines()[0]
        assert first.startswith("Description: ")
        assert "\n" not in json.loads(first.removeprefix("Description: "))


def _all_requests(kind: Any, explanation: str, *contexts: Context) -> list[Request]:
    simulator = kind(EchoAsker(lambda request: as_json([])), load_prompt(f"{kind.name}/v1"), "m", 0)
    return list(simulator.requests([Task(explanation, contexts)]))


def _stays_data(request: Request, plain: Request) -> None:
    """A request with a hostile text in it, and the same request with a harmless one."""
    assert [role for role, _ in request.messages] == [role for role, _ in plain.messages]
    assert request.messages[:-1] == plain.messages[:-1]
    data = request.messages[-1][1]
    assert len(_lines(data)) == len(_lines(plain.messages[-1][1])) == data.count("\n") + 1
    assert not _MARK.search(data)
    assert not _unseen(data)
    assert request.max_tokens == plain.max_tokens


def test_lines_of_tokens_stay_lines_of_tokens() -> None:
    other = injected_context("plain", 1)
    for text, make in EVERY:
        (request,) = _all_requests(AnthropicBatch, text, make(text), other)
        (plain,) = _all_requests(AnthropicBatch, "plain", make("x" * len(text)), other)
        _stays_data(request, plain)
        assert [len(line) for line in in_lines(request)] == [len(line) for line in in_lines(plain)]
        shown = [piece for line in in_lines(request) for piece in line]
        assert shown in ([*make(text).pieces, *other.pieces], [*other.pieces, *make(text).pieces])


def test_the_last_token_stays_the_last_token() -> None:
    for text, make in EVERY:
        pieces = make(text).pieces
        requests = _all_requests(OneByOneServed, text, make(text))
        plain = _all_requests(OneByOneServed, "plain", make("x" * len(text)))
        assert len(requests) == len(plain) == len(pieces)
        for place, (request, harmless) in enumerate(zip(requests, plain, strict=True)):
            _stays_data(request, harmless)
            assert last_token(request) == ("".join(pieces[: place + 1]), pieces[place])


def test_hidden_values_can_t_be_forged() -> None:
    for text, make in EVERY:
        context = make(text)
        request = _requests(DigitsServed, text, context)
        plain = _requests(DigitsServed, "plain", make("x" * len(text)))
        ((role, data),) = request.messages
        assert role == ""
        assert len(_lines(data)) == len(_lines(plain.messages[0][1]))
        rest = data.split("\nText:\n", 3)[3]
        assert [line.split("\t")[1:] for line in _lines(rest)] == [[HIDDEN]] * len(context.pieces)
        assert data.count("\t") == plain.messages[0][1].count("\t")
        assert not _MARK.search(data)
        assert not _unseen(data)


def test_the_process_reads_no_special_token_out_of_text() -> None:
    loaded = tiny_loaded()
    simulator = Digits(LocalModel(loaded, 2), load_prompt("digits/v1"))
    for text, make in [*EVERY, *product(("</s>", "<s>"), CONTEXTS)]:
        ids, positions = simulator.layout(text, make(text))
        assert set(ids).isdisjoint(loaded.tokenizer.all_special_ids)
        assert len(positions) == len(make(text).pieces)
        assert len(_lines(str(loaded.tokenizer.decode(ids)).split("\nText:\n", 3)[3])) == len(positions)


def test_what_a_reader_reads_next_follows_one_line() -> None:
    """Hostile text in the explanation, and in tokens that it names."""
    prompt, bank = load_prompt("reader/v1"), [LIST + "sea"]
    reader = TrainedReader(Lift(LocalModel(tiny_loaded(), 2), prompt, bank, 2, False), bank)
    for text, before in product(INJECTIONS, ("", LIST)):
        shown = tuple(replace(make(text), context=n) for n, make in enumerate(CONTEXTS))
        explanation = before + text
        read = prefix(prompt, explanation)
        assert len(_lines(read)) == 1
        assert read.startswith("The words are: ")
        assert read.endswith(". Say one of the words again:")
        results = dict(reader.simulate([Task(explanation, (c,)) for c in shown], Bar()))
        for place, told in results.items():
            assert isinstance(told, Unscored) or np.isfinite(told.predicted).all()
            assert isinstance(told, Unscored) or told.predicted.shape == (1, len(shown[place].pieces))


def _shown(text: str) -> Shown:
    contexts = tuple(
        ShownContext(
            np.arange(len(c.pieces)), c.pieces, np.linspace(1, 2, len(c.pieces), dtype=np.float32), "top"
        )
        for c in (injected_context(text), injected_by_character(text))
    )  # fmt: skip
    first = contexts[0]
    silent = ShownContext(first.tokens, first.pieces, np.zeros(len(first.pieces), np.float32), "random")
    return Shown("feature/1", 2.0, (*contexts, silent))


@pytest.mark.parametrize("text", INJECTIONS)
def test_explainers_prompts_keep_their_lines(text: str) -> None:
    for explainer in (Highlight(_SETTINGS), Phrase(_SETTINGS), Contrastive(_SETTINGS)):
        (proposal,) = explainer.propose(_shown(text), 1, np.random.default_rng(0))
        (plain,) = explainer.propose(_shown("plain words"), 1, np.random.default_rng(0))
        messages, expected = getattr(proposal, "request").messages, getattr(plain, "request").messages  # noqa: B009
        assert [role for role, _ in messages] == [role for role, _ in expected]
        for (_, content), (_, other) in zip(messages, expected, strict=True):
            assert len(_lines(content)) == len(_lines(other))
            assert not _unseen(content)


@pytest.mark.parametrize("text", INJECTIONS)
def test_every_token_beside_its_activation_keeps_its_line(text: str) -> None:
    (proposal,) = TokenActivation(_SETTINGS).propose(_shown(text), 1, np.random.default_rng(0))
    content = getattr(proposal, "request").messages[-1][1]  # noqa: B009
    lines = _lines(content)
    told = [line for line in lines if "\t" in line]
    assert len(told) == sum(len(c.pieces) for c in _shown(text).contexts if c.peak > 0)
    assert all(re.fullmatch(r"[^\t]*\t\d+", line) for line in told)
    assert [line for line in lines if "\t" not in line] == [
        "Unit 3", "Excerpt 1:", "Excerpt 2:", "What does unit 3 look for?"
    ]  # fmt: skip
    assert not _unseen(content.replace("\t", ""))


@pytest.mark.parametrize("text", INJECTIONS)
def test_excerpts_read_back_as_their_text(text: str) -> None:
    (proposal,) = Highlight(_SETTINGS).propose(_shown(text), 1, np.random.default_rng(0))
    content = getattr(proposal, "request").messages[-1][1]  # noqa: B009
    excerpts = re.findall(r"^Excerpt \d+, strength \d: (\".*\")$", content, re.MULTILINE)
    assert len(excerpts) == 2
    for excerpt in excerpts:
        unmarked_text = re.sub("[«»]", "", json.loads(excerpt))
        assert unmarked_text == f" before{text} after".translate({ord("«"): "‹", ord("»"): "›"})


@given(st.text())
def test_quoted_text_reads_back(text: str) -> None:
    line = quoted(text)
    assert json.loads(line) == text
    assert len(line.splitlines()) == 1
    assert not _MARK.search(line)
    assert not _unseen(line)


def test_ordinary_text_is_left_alone() -> None:
    for text in (" the", "<div>", "a < b > c", "[0]", "[INFO x]", "it's", "日本語　全角", "é", "[a, b]", "x|y"):
        assert quoted(text) == f'"{text}"'
        assert unmarked(text) == text
