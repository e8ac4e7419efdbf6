"""Windows and pieces, against tokenizers of every kind."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from autointerp.corpus.contexts import require_offsets, tokenise, window, window_starts
from autointerp.errors import BadInput
from tests.kinds import KINDS, tokenizer_of

TEXTS = [
    "The river 🎉🎉 runs to the sea; 中文字符 naïve café.\n\n\tdef f(x):\n        return x  # 🏳️‍🌈 done",
    "Tabs\tand  double  spaces, <|endoftext|> and </s> spelled out. ﬁne ﬂow Ⅳ ①",
    "\n\n  leading and trailing   \n",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_join_to_the_text(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    (document,) = tokenise(tokenizer, [text])
    n = len(document.tokens)
    whole = window(text, document, 0, n)
    assert "".join(whole.pieces) == text[: document.ends[-1]]
    assert text[document.ends[-1] :].strip() == ""  # only white space that the tokenizer drops is left over
    for start in range(n):
        part = window(text, document, start, min(5, n - start))
        assert part.pieces == whole.pieces[start : start + 5]
        assert "".join(part.pieces) in text


@pytest.mark.parametrize("kind", KINDS)
def test_token_ids_are_the_tokenizers_own(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    for text, document in zip(TEXTS, tokenise(tokenizer, TEXTS), strict=True):
        alone = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert document.tokens.tolist() == alone


def test_special_tokens_in_a_text_are_spelled_out() -> None:
    (document,) = tokenise(tokenizer_of("byte-level"), ["one </s> two <s> three"])
    assert 0 not in document.tokens
    assert 1 not in document.tokens


def _pieces_by_bytes(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[str]:
    """The slow twin for byte-level tokenizers: a token carries the characters whose last byte it holds."""
    alphabet = {character: byte for byte, character in _byte_characters().items()}
    pieces, pending = [], b""
    for token in tokenizer.convert_ids_to_tokens(ids):
        pending += bytes(alphabet[c] for c in token)
        whole = pending.decode("utf8", "ignore") if _cut_at_end(pending) else pending.decode("utf8")
        pieces.append(whole)
        pending = pending[len(whole.encode()) :]
    return pieces


def _cut_at_end(data: bytes) -> bool:
    try:
        data.decode("utf8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _byte_characters() -> dict[int, str]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_byte_level_pieces_against_the_slow_twin(text: str) -> None:
    tokenizer = tokenizer_of("byte-level")
    (document,) = tokenise(tokenizer, [text])
    pieces = window(text, document, 0, len(document.tokens)).pieces
    assert list(pieces) == _pieces_by_bytes(tokenizer, document.tokens.tolist())


def test_a_token_that_only_starts_a_character_is_empty() -> None:
    (document,) = tokenise(tokenizer_of("byte-level"), ["a🎉b"])
    assert window("a🎉b", document, 0, len(document.tokens)).pieces == ("a", "", "", "", "🎉", "b")


@given(st.integers(0, 400), st.integers(1, 64), st.integers(1, 5), st.integers(0, 9))
def test_windows_lie_inside_and_do_not_overlap(tokens: int, context: int, most: int, seed: int) -> None:
    starts = window_starts(tokens, context, most, (seed, "document"))
    assert len(starts) == min(most, tokens // context)
    assert all(b - a >= context for a, b in pairwise(starts))
    assert all(0 <= s <= tokens - context for s in starts)
    assert starts == window_starts(tokens, context, most, (seed, "document"))


def test_windows_reach_all_of_a_document() -> None:
    starts = np.array([window_starts(1000, 64, 2, (0, name)) for name in range(300)])
    assert starts.min() < 50
    assert starts.max() > 900


def test_a_tokenizer_without_offsets_is_refused() -> None:
    with pytest.raises(BadInput, match="gives no character offsets: use a model that has a fast tokenizer"):
        require_offsets(ByT5Tokenizer())


def test_the_tiny_tokenizers_are_what_their_names_say() -> None:
    for kind, model in zip(KINDS, ["BPE", "Unigram", "BPE", "BPE", "WordPiece"], strict=True):
        assert json.loads(tokenizer_of(kind).backend_tokenizer.to_str())["model"]["type"] == model
