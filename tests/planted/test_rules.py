"""From matches in a text to tokens: against a slow reading, and on tokens that are part of a character."""

from __future__ import annotations

import re
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autointerp.corpus.contexts import tokenise, window
from autointerp.planted import rules
from autointerp.planted.rules import STRONG, WEAK, Levels, Matches, Noise, Words, language_of, over_tokens
from autointerp.records import Context, Split
from tests.planted.texts import context
from tests.tiny import tiny_tokenizer


def _slowly(values: list[float], pieces: list[str]) -> list[float]:
    found, start = [], 0
    for piece in pieces:
        end = start + len(piece) if piece else start + 1
        found.append(max(values[start:end], default=0.0))
        start += len(piece)
    return found


@given(st.lists(st.sampled_from(["", "a", "bc", " def"]), min_size=1, max_size=12), st.randoms())
def test_over_tokens_as_a_slow_reading(pieces: list[str], random: Random) -> None:
    values = [random.choice([0.0, WEAK, STRONG]) for _ in "".join(pieces)]
    fast = over_tokens(np.array([*values, 0.0], dtype=np.float32), tuple(pieces))
    assert np.allclose(fast, _slowly(values, pieces))


def _tokenised(text: str) -> Context:
    (found,) = tokenise(tiny_tokenizer(), [text])
    w = window(text, found, 0, len(found.tokens))
    return Context(0, Split.HELD_OUT, 0, "s", 0, w.tokens, w.pieces)


def test_a_character_of_several_tokens_is_active_on_all_of_them() -> None:
    shown = _tokenised("of 中 the 🎉")
    assert "" in shown.pieces
    values = Levels(((Matches(re.compile("中")), STRONG),)).activations(shown)
    first = shown.pieces.index("")
    assert "".join(np.array(shown.pieces)[values > 0]).strip() == "中"
    assert (values[first : shown.pieces.index("中") + 1] > 0).all()
    assert values[-4:].sum() == 0, "nothing of the other one"


def test_a_word_of_several_tokens_is_active_on_all_of_them() -> None:
    values = Levels(((Words(frozenset({"colours"})), STRONG),)).activations(
        context([" co", "lo", "urs", " of", " colour", "_x"])
    )
    assert values.tolist() == [1, 1, 1, 0, 0, 0]


def test_the_highest_level_counts_whatever_the_order() -> None:
    weak, strong = (Matches(re.compile("a+")), WEAK), (Matches(re.compile("aa")), STRONG)
    for levels in ((weak, strong), (strong, weak)):
        values = Levels(levels).activations(context(["a", " aa", " b"]))
        assert np.allclose(values, [WEAK, STRONG, 0])


def test_a_group_marks_what_is_active() -> None:
    rule = Levels(((Matches(re.compile(r"\bnot (?P<at>\w+)")), STRONG),))
    assert rule.activations(context(["not", " so", " fast"])).tolist() == [0, 1, 0]


def test_languages_are_told_by_their_small_words() -> None:
    assert language_of("The end of the story is that it was all for nothing.") == "english"
    assert language_of("Le chat est dans la maison et les enfants sont avec une amie.") == "french"
    assert language_of("El perro y los niños juegan con una pelota para las fiestas.") == "spanish"
    assert language_of("def area(width, height): return width * height") is None
    assert language_of("le chat, the cat, el gato, une table, the table, los tables") is None
    sets = list(rules._MARKER_SETS.values())
    assert sum(map(len, sets)) == len(frozenset().union(*sets))


def test_a_pattern_of_a_language_is_silent_in_others() -> None:
    rule = Levels(((Matches(re.compile(r"\w+"), frozenset({"french"})), STRONG),))
    assert rule.activations(context("Le chat est dans la maison avec une amie")).any()
    assert not rule.activations(context("The cat is in the house and that is all of it")).any()


def test_noise_has_its_density_and_nothing_to_do_with_the_text() -> None:
    shown = [context("the same words in every context of this list", number) for number in range(800)]
    binary, graded, other = (np.stack([n.activations(c) for c in shown]) for n in (
        Noise(0.05, False, 1), Noise(0.05, True, 1), Noise(0.05, False, 2),
    ))  # fmt: skip
    assert set(binary.ravel()) == {0.0, 1.0}
    assert abs((binary > 0).mean() - 0.05) < 0.01
    assert np.array_equal(graded > 0, binary > 0), "twins are active on the same tokens"
    assert abs((graded[graded > 0] < 1).mean() - 0.5) < 0.1
    assert abs(np.corrcoef(binary.ravel(), other.ravel())[0, 1]) < 0.05
    assert (binary.mean(axis=0) > 0.02).all(), "at every place"
