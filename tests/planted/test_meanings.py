"""What the unit files say is so: every explanation of every family, held against a text that tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import product

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

each_kind = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != NOISE])


def _of(kind: str) -> list[MeaningFamily]:
    return [family for family in families() if family.kind == kind]


@cache
def _contexts() -> list[Context]:
    return [context(text) for text in gallery()]


@cache
def _each(rule: Levels) -> list[np.ndarray]:
    return [rule.activations(c) for c in _contexts()]


def _over(rule: Levels) -> np.ndarray:
    return np.concatenate(_each(rule))


@each_kind
def test_a_rule_is_silent_on_a_text_that_it_says_nothing_of(kind: str) -> None:
    """What is looked at first, and fast, against the activations themselves."""
    for family in _of(kind):
        for meaning in family.meanings.values():
            for shown, found in zip(_contexts(), _each(meaning.rule), strict=True):
                assert meaning.rule.may(shown.text) or not found.any(), family.name
        everywhere = all(family.meanings[TRUE].rule.may(shown.text) for shown in _contexts())
        assert not everywhere or family.kind == "position", "a place is in every text"


@each_kind
def test_the_false_explanations_are_false_in_their_way(kind: str) -> None:
    for family in _of(kind):
        active = {name: _over(meaning.rule) > 0 for name, meaning in family.meanings.items()}
        true, near, broad, narrow = (active[name] for name in (TRUE, NEAR_MISS, TOO_BROAD, TOO_NARROW))
        assert narrow.any(), family.name
        assert not (narrow & ~true).any(), f"{family.name}: a subset"
        assert (true & ~narrow).any(), f"{family.name}: a strict one"
        assert not (true & ~broad).any(), f"{family.name}: a superset"
        assert (broad & ~true).any(), f"{family.name}: a strict one"
        assert near.any(), family.name
        assert (near & true).sum() < 0.1 * min(near.sum(), true.sum()), family.name


@each_kind
def test_a_graded_unit_is_active_on_the_same_tokens_and_says_where_most(kind: str) -> None:
    for family in _of(kind):
        for name, meaning in family.meanings.items():
            plain, graded = _over(meaning.rule), _over(meaning.graded_rule)
            assert set(np.unique(plain)) == {0.0, STRONG}, family.name
            assert np.array_equal(graded > 0, plain > 0), family.name
            if family.kind == "two-sense" and name == TOO_NARROW:
                assert np.array_equal(graded, plain), "one sense: nothing to grade"
                assert meaning.graded_text == meaning.text, family.name
            else:
                assert len(np.unique(graded)) == 3, f"{family.name}: {name} has a strong part and a weak one"
                assert meaning.graded_text != meaning.text, family.name


@each_kind
def test_every_explanation_is_words_of_its_own(kind: str) -> None:
    for family in _of(kind):
        for graded in (False, True):
            texts = [meaning.explanation(graded) for meaning in family.meanings.values()]
            assert len(set(texts)) == 4, texts
            assert all(text == text.strip() and "\n" not in text and not text.endswith(".") for text in texts), texts


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


@pytest.mark.parametrize("kind", BLIND_KINDS)
def test_the_explanations_of_blind_kinds_give_no_words_away(kind: str) -> None:
    """None says what its tokens look like: only where they stand. What it says of the token beside is no hint."""
    for family in filter(lambda f: f.test, _of(kind)):
        for graded, sort in product((False, True), (TRUE, NEAR_MISS)):
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
