"""Which words an explanation names, and where they stand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.contexts.naming import LIST, LONGEST_WORD, Named, is_list, named_words, word_of
from autointerp.contexts.slices import RANDOM_ONLY, TOP_AND_RANDOM, UNLISTED, Held, held_of
from tests.simulate.contexts import WORDS, context


@pytest.mark.parametrize(
    ("explanation", "names"),
    [
        ("words such as the, of, Paris", {"the", "of", "Paris"}),
        ("words such as ,, .", {",", "."}),
        ("words such as ", set()),
        ("names of animals", {"names", "animals"}),
        ("the word 'of' and other words", set()),  # a single quote may be an apostrophe: it quotes nothing
        ('the word "of" and “the”', {"of", "the"}),
        ("don't and can’t", {"don't", "can’t"}),
        ("Words such as cats", {"cats"}),  # no list of ours
        ("", set()),
        ("?! ...", set()),
    ],
)
def test_what_is_named(explanation: str, names: set[str]) -> None:
    assert named_words(explanation) == names
    assert is_list(explanation) == explanation.startswith(LIST)


def test_a_word_is_one_printable_line() -> None:
    assert word_of("  red\n") == "red"
    assert word_of("New\n\tYork") == "New York"
    assert word_of("\x1b[31mred\u202e\u200b") == "[31mred"
    assert word_of(" \n ") == word_of("\x00") == word_of("") == ""
    assert len(word_of("x" * 900)) == LONGEST_WORD


PIECES = (" The", " run", "ning", " cat", ",", " Cat", "s", " and", " a", "cat", "\n", "")


def test_the_tokens_that_are_named() -> None:
    (found,) = Named().tokens("words such as cat, ning, ,", [context(0, *PIECES)])
    assert [piece for piece, is_named in zip(PIECES, found, strict=True) if is_named] == ["ning", " cat", ",", "cat"]
    (found,) = Named().tokens('the words "cats" and "the"', [context(0, *PIECES)])
    assert not found.any()


def test_the_tokens_of_named_words_whatever_their_case() -> None:
    (found,) = Named(whole=True).tokens("words such as running, cat, The", [context(0, *PIECES)])
    assert [piece for piece, named in zip(PIECES, found, strict=True) if named] == [" The", " run", "ning", " cat"]
    (found,) = Named(whole=True).tokens("cats, and commas", [context(0, *PIECES)])
    assert [piece for piece, named in zip(PIECES, found, strict=True) if named] == [" Cat", "s"]


def test_an_explanation_can_name_what_only_a_later_context_holds() -> None:
    named, explanation = Named(), "words such as sea"
    assert not named.tokens(explanation, [context(0, " rain", " cat")]).any()
    assert named.tokens(explanation, [context(1, " sea", " cat")]).tolist() == [[True, False]]


def test_nothing_named_is_nothing_and_no_blank_is_ever_named() -> None:
    for whole in (False, True):
        assert not Named(whole).tokens("words such as ", [context(0, " ", "\n", "", " a")]).any()


def _slowly(explanation: str, pieces: list[str], whole: bool) -> list[bool]:
    """A token at a time."""
    names = named_words(explanation)
    if not whole:
        return [bool(word_of(piece)) and word_of(piece) in names for piece in pieces]
    pattern = r"\w+(?:['’]\w+)*|[^\w\s]+"
    parts = {part.casefold() for name in names for part in re.findall(pattern, name)}
    owners: list[str | None] = []  # of every character
    text = "".join(pieces)
    for match in re.finditer(pattern, text):
        owners += [None] * (match.start() - len(owners))
        owners += [match.group().casefold()] * (match.end() - match.start())
    owners += [None] * (len(text) - len(owners))
    found, start = [], 0
    for piece in pieces:
        own = [owner for owner in owners[start : start + len(piece)] if owner is not None]
        found.append(bool(own) and own[0] in parts)
        start += len(piece)
    return found


_PIECE = st.sampled_from([*WORDS, *(f" {word}" for word in WORDS), "'", "’s", ",", " \n", "", "List", "the", "ſ"])


@given(st.lists(_PIECE, min_size=1, max_size=12), st.lists(_PIECE, max_size=4), st.booleans(), st.booleans())
def test_it_is_what_a_token_at_a_time_finds(pieces: list[str], named: list[str], listed: bool, whole: bool) -> None:
    explanation = LIST + ", ".join(named) if listed else " ".join(named)
    found = Named(whole).tokens(explanation, [context(0, *pieces)])
    assert found.tolist() == [_slowly(explanation, pieces, whole)]


def test_a_slice_without_the_tokens_that_any_of_the_explanations_names() -> None:
    contexts = {0: context(0, " sea", " rain", " two"), 1: context(1, " rain", " rain", " one")}
    whole = Held(np.array([1, 0]), np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.0, 5.0]))
    slices = {TOP_AND_RANDOM: whole, RANDOM_ONLY: Held(np.array([0]), np.zeros((1, 3)), np.ones(1))}
    texts = ("words such as rain", "words such as two")
    held = held_of(slices, UNLISTED, texts, contexts, Named())
    assert held is not None
    assert held.pooled(held.truth).tolist() == [2, 3]  # " one" of context 1, " sea" of context 0
    assert held.token_weights is not None
    assert held.token_weights.tolist() == [1, 5]
    assert held.contexts.tolist() == [1, 0]
    assert held_of(slices, TOP_AND_RANDOM, texts, contexts, Named()) is whole
    assert whole.pooled(whole.truth).tolist() == [0, 1, 2, 3, 4, 5]
    assert held_of({}, UNLISTED, texts, contexts, Named()) is None
