"""One tokenizer's values on another's tokens: real tokenizers of five kinds, and text in which characters are cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer

from autointerp.corpus.contexts import tokenise, window
from autointerp.errors import BadInput
from autointerp.records import Context, Split
from autointerp.simulate.alignment import carry_over, places_of
from autointerp.simulate.vocabulary import ContextReader
from tests.kinds import KINDS, tokenizer_of

_ACCENTS = "Ça naïve café, Ångström — Việt Nam, ﬁne ﬂow Ⅳ ①"
TEXTS = {
    "Chinese": "今天天气很好，我们去公园散步。The river 中文字符 runs",
    "Arabic": "النهر يجري إلى البحر؛ وهذا نَصٌّ مُشَكَّل",
    "Hindi": "नदी समुद्र की ओर बहती है; क्षत्रिय श्री",
    "composed": unicodedata.normalize("NFC", _ACCENTS),
    "decomposed": unicodedata.normalize("NFD", _ACCENTS),
    "code": "def f(x):\n\treturn x  # <|endoftext|> </s>\n\r\n        y = {'a': [1, 2]}",
    "emoji": "🎉🎉 a 👩‍👩‍👧 smile 👍🏽👍🏿, flag 🏳️‍🌈 and 1️⃣🙂",
}


def _context(tokenizer: Any, text: str, start: int = 0, stop: int | None = None) -> Context:
    """A window of a document, as the corpus cuts it: it may begin and end inside a character."""
    (document,) = tokenise(tokenizer, [text])
    stop = len(document.tokens) if stop is None else stop
    cut = window(text, document, start, stop - start)
    return Context(0, Split.HELD_OUT, 0, "s", start, cut.tokens, cut.pieces)


def _slow(values: np.ndarray, context: Context, offsets: Sequence[tuple[int, int]]) -> list[float]:
    """Character by character: every token that has a character counts once for it."""
    result, start = [], 0
    for piece in context.pieces:
        characters = range(start, start + max(len(piece), 1))
        shared = [values[t] for c in characters for t, (a, b) in enumerate(offsets) if a <= c < b]
        result.append(float(np.mean(shared)) if shared else 0.0)
        start += len(piece)
    return result


def _check(subject: str, simulator: str, context: Context) -> None:
    tokenizer = tokenizer_of(simulator)
    values = np.random.default_rng(0).normal(size=len(tokenizer)).astype(np.float32)
    reader = ContextReader(tokenizer, same=False)
    laid = reader.lay(values, context)
    encoded = tokenizer(
        context.text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )  # fmt: skip
    expected = _slow(values[encoded["input_ids"]], context, encoded["offset_mapping"])
    np.testing.assert_allclose(laid, expected, atol=1e-5, err_msg=f"{subject} -> {simulator}: {context.pieces}")


@pytest.mark.parametrize("subject", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_pair_of_tokenizers_agrees_with_the_count_of_characters(name: str, subject: str) -> None:
    tokenizer = tokenizer_of(subject)
    whole = _context(tokenizer, TEXTS[name])
    length = len(whole.pieces)
    assert length > 5
    cut = [_context(tokenizer, TEXTS[name], start, min(start + 6, length)) for start in range(0, length, 5)]
    for simulator, context in product(KINDS, (whole, *cut)):
        _check(subject, simulator, context)


_SCRIPTS = st.one_of(
    st.sampled_from([*"aé 中字نَदी\n\t>", "e\u0301", "👩‍👧", "👍🏽", "🏳️‍🌈", "</s>", "the ", " 7"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)


@given(st.lists(_SCRIPTS, min_size=1, max_size=12), st.data())
def test_any_text_cut_anywhere_agrees_with_the_count_of_characters(parts: list[str], data: st.DataObject) -> None:
    subject, simulator = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(KINDS))
    tokenizer = tokenizer_of(subject)
    (document,) = tokenise(tokenizer, ["".join(parts)])
    count = len(document.tokens)
    start = data.draw(st.integers(0, max(count - 1, 0)))
    stop = data.draw(st.integers(min(start + 1, count), count))
    _check(subject, simulator, _context(tokenizer, "".join(parts), start, stop))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_tokenizer_s_own_values_come_back(name: str, kind: str) -> None:
    """Where no other token has a part of the same characters."""
    tokenizer = tokenizer_of(kind)
    context = _context(tokenizer, TEXTS[name])
    values = np.random.default_rng(1).normal(size=len(tokenizer)).astype(np.float32)
    laid = ContextReader(tokenizer, same=False).lay(values, context)
    offsets = tokenizer(
        context.text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
    )["offset_mapping"]  # fmt: skip
    ends = np.cumsum([len(piece) for piece in context.pieces]).tolist()
    kept = [
        place
        for place, (piece, end) in enumerate(zip(context.pieces, ends, strict=True))
        if piece and [t for t, (a, b) in enumerate(offsets) if a < end and b > end - len(piece)] == [place]
    ]
    assert len(kept) > 3 or (kind == "byte-level" and name in ("Arabic", "Hindi"))
    np.testing.assert_allclose(laid[kept], values[context.tokens[kept]], atol=1e-6)


def test_a_context_cut_inside_a_character() -> None:
    """a🎉🎉b in bytes; the window holds the last half of the one and the first half of the other."""
    context = _context(tokenizer_of("byte-level"), "a🎉🎉b", 3, 7)
    assert context.pieces == ("", "🎉", "", "")
    tokenizer = tokenizer_of("byte-level")
    values = np.arange(len(tokenizer), dtype=np.float32)
    laid = ContextReader(tokenizer, same=False).lay(values, context)
    whole = tokenizer("🎉", add_special_tokens=False)["input_ids"]
    assert len(whole) == 4
    np.testing.assert_allclose(laid, [np.mean(whole), np.mean(whole), 0, 0], rtol=1e-6)
    same = ContextReader(tokenizer, same=True).lay(values, context)
    np.testing.assert_array_equal(same, context.tokens)


def test_no_special_token_is_read_out_of_a_context() -> None:
    tokenizer = tokenizer_of("byte-level")
    context = _context(tokenizer_of("wordpiece"), "one </s> two <s>")
    ids = ContextReader(tokenizer, same=False).encoded(context)
    assert set(ids.tolist()).isdisjoint(tokenizer.all_special_ids)


def test_a_tokenizer_without_offsets_is_refused_unless_it_is_the_subject_s() -> None:
    with pytest.raises(BadInput, match="gives no character offsets"):
        ContextReader(ByT5Tokenizer(), same=False)
    context = Context(0, Split.HELD_OUT, 0, "s", 0, np.array([5, 3]), ("a", "b"))
    assert ContextReader(ByT5Tokenizer(), same=True).encoded(context).tolist() == [5, 3]


# What a server says of its tokens, and where they stand.

_SPELLINGS: dict[str, Callable[[str], str]] = {
    "replaced": lambda text: text,
    "escaped": lambda text: text if "\ufffd" not in text else "bytes:" + r"\xf0" * text.count("\ufffd"),
    "left out": lambda text: text if text.strip("\ufffd") else "",
    "without its space": str.strip,
}


def _said(kind: str, text: str) -> tuple[list[str], list[tuple[int, int]]]:
    tokenizer = tokenizer_of(kind)
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    return [str(tokenizer.decode([i])) for i in encoded["input_ids"]], [tuple(o) for o in encoded["offset_mapping"]]


@pytest.mark.parametrize("start", [[], ["<s>"]])
@pytest.mark.parametrize("spelling", ["replaced", "escaped"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_places_of_a_server_s_tokens(name: str, spelling: str, start: list[str]) -> None:
    """Tokens of a character in parts, and of neighbours in parts, share the run; all else stands where it is."""
    texts, offsets = _said("byte-level", TEXTS[name])
    found = places_of([*start, *(_SPELLINGS[spelling](t) for t in texts)], TEXTS[name])
    assert found is not None
    assert found[: len(start)] == [(0, 0)] * len(start)
    for text, place, offset in zip(texts, found[len(start) :], offsets, strict=True):
        if "\ufffd" in text:
            assert place[0] <= offset[0] < offset[1] <= place[1]
            assert all(not c.isascii() for c in TEXTS[name][slice(*place)].strip())
        else:
            assert place == offset


@pytest.mark.parametrize("spelling", ["left out", "without its space"])
def test_tokens_without_a_text_and_words_without_their_space(spelling: str) -> None:
    text = "the sea 🎉 gives rain"
    tokens = {"left out": ["the", " sea", " ", "", "", "", "🎉", " gives", " rain"],
              "without its space": ["the", "sea", "🎉", "gives", "rain"]}[spelling]  # fmt: skip
    found = places_of(tokens, text)
    assert found is not None
    pieces = ("the", " sea", " ", "🎉", " gives", " rain")
    values = np.array([[float(i) for i in range(len(tokens))]], dtype=np.float32)
    expected = {"left out": [0, 1, 2, 4.5, 7, 8], "without its space": [0.0, 1, 2, 2, 3, 4]}[spelling]
    np.testing.assert_allclose(carry_over(values, pieces, found)[0], expected, atol=1e-6)


def test_a_first_token_of_which_nothing_is_said() -> None:
    """vLLM's field says nothing of it, and where a text holds parts of characters it can't be found out."""
    assert places_of(["", " is", " é"], "Here is é") == [(0, 4), (4, 7), (7, 9)]
    assert places_of(["<s>", "Here", " is"], "Here is") == [(0, 0), (0, 4), (4, 7)]


@pytest.mark.parametrize(
    "texts", [["the", " seal"], ["the"], [], ["\ufffd", " seal"], ["the", " sea", "s"], ["x", "y"]]
)
def test_tokens_of_another_text_have_no_places(texts: list[str]) -> None:
    assert places_of(texts, "the sea") is None


@given(st.lists(st.text(max_size=5), max_size=8), st.text(max_size=12))
def test_no_answer_breaks_the_search_for_places(texts: list[str], whole: str) -> None:
    found = places_of(texts, whole)
    assert found is None or len(found) == len(texts)
    for start, end in found or ():
        assert 0 <= start <= end <= len(whole)
