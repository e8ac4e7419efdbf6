"""Near-duplicates and shared passages, against exact similarities."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.corpus.builtin import Passages
from autointerp.corpus.split import NearDuplicates, shingles

WORDS = [f"{a}{b}{c}" for a in "bdfglmprst" for b in "aeiou" for c in "klmnrstv"]


def _text(rng: np.random.Generator, words: int = 160) -> str:
    return " ".join(rng.choice(WORDS, words))


def _with_changes(text: str, changes: int, rng: np.random.Generator) -> str:
    words = text.split()
    for place in rng.choice(len(words), changes, replace=False):
        words[place] = f"changed{place}"
    return " ".join(words)


def _jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def test_copies_are_told_by_their_exact_similarity() -> None:
    rng = np.random.default_rng(0)
    told, similar = [], []
    for changes in (1, 2, 3, 12, 16, 24):
        for _ in range(40):
            text = _text(rng)
            copy = _with_changes(text, changes, rng)
            index = NearDuplicates(0.7, seed=0)
            assert index.add_if_new(text)
            told.append(not index.add_if_new(copy))
            similar.append(_jaccard(text, copy))
    told_array, similarity = np.array(told), np.array(similar)
    assert told_array[similarity > 0.85].mean() > 0.97
    assert told_array[similarity < 0.5].mean() < 0.03
    assert min((similarity > 0.85).sum(), (similarity < 0.5).sum()) >= 60


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9, 1.0])
def test_the_threshold_is_kept(threshold: float) -> None:
    rng = np.random.default_rng(1)
    index = NearDuplicates(threshold, seed=0)
    texts = [_text(rng) for _ in range(30)]
    assert all(index.add_if_new(text) for text in texts)
    for text in texts:
        copy = _with_changes(text, 6, rng)  # a similarity of about 0.7
        assert 0.6 < _jaccard(text, copy) < 0.8
        assert index.add_if_new(copy) == (threshold > 0.85)


def test_case_space_and_form_make_no_difference() -> None:
    index = NearDuplicates(1.0, seed=0)
    assert index.add_if_new("The ﬁrst\n\nDocument is short")
    assert not index.add_if_new("the first document  IS short ")
    assert index.add_if_new("the second document is short")


def test_scripts_without_spaces_are_compared_by_character() -> None:
    text = "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少床前明月光疑是地上霜舉頭望明月低頭思故鄉" * 2
    index = NearDuplicates(0.7, seed=0)
    assert index.add_if_new(text)
    assert not index.add_if_new(text + "完")
    assert index.add_if_new(text[::-1])


def test_a_passage_is_found_wherever_it_begins() -> None:
    rng = np.random.default_rng(2)
    licence = _text(rng, 200).split()
    passages = Passages(64)
    passages.add(" ".join(licence[10:90]))
    assert passages.seen(" ".join(licence[30:80]))
    assert passages.seen(" ".join(licence[0:80]))
    assert not passages.seen(" ".join(licence[100:150]))
    assert not passages.seen(_text(rng, 50))


def test_a_text_of_few_words_is_compared_too() -> None:
    passages = Passages(128)
    for n in range(20):
        assert not passages.seen(f"number {n}")
        passages.add(f"number {n}")
        assert passages.seen(f"number {n}")
