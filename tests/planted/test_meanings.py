"""What the unit files say is so: every explanation of every family, held against a text that tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest

from autointerp.artifacts import hash_value
from autointerp.planted.meanings import KINDS, NEAR_MISS, NOISE, TOO_BROAD, TOO_NARROW, TRUE, MeaningFamily, families
from autointerp.planted.rules import STRONG, Levels, Matches, Words
from autointerp.planted.sight import Sight, sight
from autointerp.records import Context
from tests.planted.texts import context, gallery, pieces_of

FROZEN = "d002e1db12be6d3b3f5b21d6bde60919a52dc16cc93cfbcb04de242cd31aceff"
"""Of all texts and rules of the frozen half."""

each_family = pytest.mark.parametrize("family", families(), ids=lambda f: f"{f.kind}/{f.name}")


@cache
def _contexts() -> list[Context]:
    return [context(text) for text in gallery()]


@cache
def _over(rule: Levels) -> np.ndarray:
    return np.concatenate([rule.activations(c) for c in _contexts()])


@each_family
def test_a_rule_is_silent_on_a_text_that_it_says_nothing_of(family: MeaningFamily) -> None:
    """What is looked at first, and fast, against the activations themselves."""
    for meaning in family.meanings.values():
        for shown in _contexts():
            assert meaning.rule.may(shown.text) or not meaning.rule.activations(shown).any()
    everywhere = all(family.meanings[TRUE].rule.may(shown.text) for shown in _contexts())
    assert not everywhere or family.kind == "position", "a place is in every text"


@each_family
def test_the_false_explanations_are_false_in_their_way(family: MeaningFamily) -> None:
    active = {name: _over(meaning.rule) > 0 for name, meaning in family.meanings.items()}
    true, near, broad, narrow = (active[name] for name in (TRUE, NEAR_MISS, TOO_BROAD, TOO_NARROW))
    assert narrow.any()
    assert not (narrow & ~true).any(), "a subset"
    assert (true & ~narrow).any(), "a strict one"
    assert not (true & ~broad).any(), "a superset"
    assert (broad & ~true).any(), "a strict one"
    assert near.any()
    assert (near & true).sum() < 0.1 * min(near.sum(), true.sum())


@each_family
def test_a_graded_unit_is_active_on_the_same_tokens_and_says_where_most(family: MeaningFamily) -> None:
    for name, meaning in family.meanings.items():
        plain, graded = _over(meaning.rule), _over(meaning.graded_rule)
        assert set(plain) == {0.0, STRONG}
        assert np.array_equal(graded > 0, plain > 0)
        if family.kind == "two-sense" and name == TOO_NARROW:
            assert np.array_equal(graded, plain), "one sense: nothing to grade"
            assert meaning.graded_text == meaning.text
        else:
            assert len(set(graded)) == 3, f"{name} has a strong part and a weak one"
            assert meaning.graded_text != meaning.text


@each_family
def test_every_explanation_is_words_of_its_own(family: MeaningFamily) -> None:
    for graded in (False, True):
        texts = [meaning.explanation(graded) for meaning in family.meanings.values()]
        assert len(set(texts)) == 4
        assert all(text == text.strip() and "\n" not in text and not text.endswith(".") for text in texts)


def test_every_kind_has_at_least_eight_meanings_in_the_frozen_half() -> None:
    halves = {kind: Counter(f.test for f in families() if f.kind == kind) for kind in KINDS if kind != NOISE}
    assert all(counts[True] >= 8 for counts in halves.values()), halves
    assert all(counts[False] >= 2 for counts in halves.values()), halves
    assert sum(counts[True] for counts in halves.values()) >= 90


def test_the_frozen_half_is_what_it_was() -> None:
    """No prompt and no reader is tuned on it, and nothing in it changes after a look at what a method makes of it."""
    frozen = [
        [f.kind, f.name, sort, m.text, m.graded_text, _as_text(m.rule), _as_text(m.graded_rule)]
        for f in families()
        if f.test
        for sort, m in f.meanings.items()
    ]
    assert hash_value(frozen) == FROZEN, "if a text has to be mended, say so in the changelog and pin the new hash"


def _as_text(rule: Levels) -> list[list[object]]:
    return [
        [sorted(spans.words), level]
        if isinstance(spans, Words)
        else [spans.pattern.pattern, sorted(spans.languages), level]
        for spans, level in rule.levels
        if isinstance(spans, Words | Matches)
    ]


BLIND_KINDS = tuple(kind for kind in KINDS if sight("literal", kind) is Sight.BLIND)
_MARKED = re.compile(r"'[^']*'|such as|as in|capital|digit|number|letters or more; |most strongly the (?:long|short)")


@pytest.mark.parametrize("family", [f for f in families() if f.kind in BLIND_KINDS and f.test], ids=lambda f: f.name)
def test_the_explanations_of_blind_kinds_give_no_words_away(family: MeaningFamily) -> None:
    """None says what its tokens look like: only where they stand. What it says of the token beside is no hint."""
    for graded in (False, True):
        for sort in (TRUE, NEAR_MISS):
            text = family.meanings[sort].explanation(graded)
            about_the_token = re.sub(r"(?:right (?:before|after)|second word (?:before|after)) .*?(?=,|;|$)", "", text)
            assert not _MARKED.search(about_the_token), text


def test_two_senses_never_cross_the_halves() -> None:
    by_pattern = {id(f.meanings[TRUE].rule.levels[0][0]): f for f in families() if f.kind != "two-sense"}
    for family in families():
        if family.kind == "two-sense":
            senses = [by_pattern[id(spans)] for spans, _ in family.meanings[TOO_BROAD].rule.levels]
            assert {sense.test for sense in senses} == {family.test}
            assert len({(sense.kind, sense.name) for sense in senses}) == 3


@pytest.mark.parametrize(
    ("unit", "text", "active"),
    [
        ("word-class/colours", "A red car, a Blue one, a colored redness", "red Blue"),
        ("word-class/months", "on 6 juillet 1796, in May 1800 he may march", "juillet May"),
        ("single-word/file", "Files in the file profile, file_name", "Files file"),
        ("form/ing", "singing in the ring, King Thing bring sing", "singing ring King Thing bring sing"),
        ("form/ed", "he needed bed and walked indeed, red", "needed walked"),
        ("form/capital", "The old King of France. His son, Paul", "King France Paul"),
        ("number/years", "in 1789, 20000 or 2.1999 or 2042, 2001", "1789 2001"),
        ("number/versions", "version 3.11 of 2 and 0.5.1", "3 . 11 0 . 5 . 1"),
        ("code/errors", "raise ValueError or an Error", "ValueError"),
        ("code/snake-case", "max_length of max and _x", "max_length"),
        ("script/greek", "the letter α in λόγος", "α λόγος"),
        ("position/sentence-last", "It ends here. And so, it does.", "here does"),
        ("position/line-first", "one two\n  three four\nfive", "three five"),
        ("position/text-first", "one, two three four", "one , two three"),
        ("after/the", "the cat and The dog saw the end of other birds", "cat dog end"),
        ("after/comma", "one, two,three, four", "two four"),
        ("before/of", "the end of it, most of the_days offer", "end most"),
        ("before/bracket", "print(name) or call (me)", "print"),
        ("after/nine", "the important, thing or important ways, nine", "ways"),
        ("before/has-ph", "an old photo and the graph", "old the"),
        ("position/in-brackets", "all (of it) and [that] or (", "of it"),
        ("position/sentence-last-but-one", "It ends right here. And so, it does.", "right it"),
        ("number/roman", "Louis XIV, Pius IX, I and Charles V", "XIV IX"),
        ("form/all-capitals", "NASA and UK, a LICENSE, An IDe", "NASA LICENSE"),
        ("script/circumflex", "la fête, été", "fête"),
        ("code/comparison", "a == b, c = d, e <= f", "== <="),
        ("two-sense/body-or-between", "a hand between two sticks", "hand between"),
    ],
)
def test_what_a_unit_is_active_on(unit: str, text: str, active: str) -> None:
    (family,) = (f for f in families() if f"{f.kind}/{f.name}" == unit)
    values = family.meanings[TRUE].rule.activations(context(text))
    found = [piece for piece, value in zip(pieces_of(text), values, strict=True) if value > 0]
    assert "".join(found).replace(" ", "") == active.replace(" ", "")
