"""Kinds of planted units, and their meanings: what the files in `library/` say, made into explanations and rules."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from autointerp.planted.rules import STRONG, WEAK, Levels, Matches, Spans, Words

TRUE = "true"
"""The explanation that says what the unit is active on."""
NEAR_MISS, TOO_BROAD, TOO_NARROW, OTHER = "near-miss", "too-broad", "too-narrow", "other"
WRONG = (NEAR_MISS, TOO_BROAD, TOO_NARROW, OTHER)
"""The false ones: of a neighbouring meaning; of a superset; of a subset; another unit's, of another kind."""
DESCRIPTION, WORD_LIST = "description", "list"
FORMS = (DESCRIPTION, WORD_LIST)
"""How an explanation is told: in words that describe, as people do; or as a list of words, as most of a run's are."""
NOISE = "noise"
"""The kind of unit that nothing is true of."""


@dataclass(frozen=True)
class MeaningKind:
    """A family of meanings."""

    about: str
    """What its units are active on, in one line."""
    word_like: bool
    """Whether the token that a unit is active on (with the rest of its word) decides, without its surroundings."""


KINDS: Mapping[str, MeaningKind] = {
    "word-class": MeaningKind("words of one class of meaning (colours, animals, months)", True),
    "single-word": MeaningKind("one word", True),
    "form": MeaningKind("words of one grammatical form, by their spelling (-ing, -ly, -ed, capitals)", True),
    "number": MeaningKind("digits, years, ordinals, and words for numbers", True),
    "code": MeaningKind("keywords and marks of programming languages", True),
    "language": MeaningKind("words of the texts in one language", True),
    "script": MeaningKind("characters of one script", True),
    "position": MeaningKind("a place in the sentence, line or text", False),
    "after": MeaningKind("the token after a word or a mark", False),
    "before": MeaningKind("the token before a word or a mark", False),
    "two-sense": MeaningKind("either of two unrelated meanings", True),
    NOISE: MeaningKind("tokens drawn at random: it means nothing", False),
}
"""The kinds, in the order of the table."""


_FOLDER = Path(__file__).parent / "library"
_TWO_SENSE = "two-sense"


@dataclass(frozen=True)
class Meaning:
    """One explanation, in the form for binary units and in the form for graded ones, with what it predicts."""

    text: str
    rule: Levels
    graded_text: str
    """Says where the activation is strongest, too."""
    graded_rule: Levels

    def explanation(self, graded: bool) -> str:
        """Its words."""
        return self.graded_text if graded else self.text

    def predicts(self, graded: bool) -> Levels:
        """Its rule."""
        return self.graded_rule if graded else self.rule


@dataclass(frozen=True)
class MeaningFamily:
    """A meaning with its false neighbours: what a binary unit and a graded one are made of."""

    kind: str
    name: str
    test: bool
    """In the frozen half."""
    meanings: Mapping[str, Meaning]
    """TRUE, NEAR_MISS, TOO_BROAD and TOO_NARROW."""


@cache
def families() -> tuple[MeaningFamily, ...]:
    """Every family, in the order of KINDS and of the files."""
    found: dict[str, MeaningFamily] = {}
    for kind in KINDS:
        if kind == NOISE:
            continue
        tables = tomllib.loads((_FOLDER / f"{kind}.toml").read_text("utf8"))
        for name, table in tables.items():
            meanings = _two_senses(table, found) if kind == _TWO_SENSE else _meanings(table)
            found[f"{kind}/{name}"] = MeaningFamily(kind, name, table["test"], meanings)
    return tuple(found.values())


def _meanings(table: Mapping[str, Any]) -> dict[str, Meaning]:
    true = _meaning(table[TRUE])
    return {
        TRUE: true,
        NEAR_MISS: _meaning(table[NEAR_MISS]),
        TOO_BROAD: _meaning(table[TOO_BROAD], true.rule),
        TOO_NARROW: _meaning(table[TOO_NARROW]),
    }


def _meaning(table: Mapping[str, Any], within: Levels | None = None) -> Meaning:
    """The meaning of one table; with `within` the rule covers that one as well, so that it is a superset."""
    whole = _spans(table, "words", "pattern", "languages")
    peak = _spans(table, "strongest", "peak_pattern", "peak_languages")
    also = within.levels if within is not None else ()
    return Meaning(
        text=table["text"],
        rule=Levels((*also, (whole, STRONG))),
        graded_text=f"{table['text']}; most strongly {table['peak']}",
        graded_rule=Levels((*((spans, WEAK) for spans, _ in also), (whole, WEAK), (peak, STRONG))),
    )


def _spans(table: Mapping[str, Any], words: str, pattern: str, languages: str) -> Spans:
    """The spans that keys of a table describe: whole words, or matches of a pattern."""
    if words in table:
        return Words(frozenset(table[words].split()))
    return Matches(re.compile(table[pattern]), frozenset(table.get(languages, table.get("languages", ()))))


def _two_senses(table: Mapping[str, Any], found: Mapping[str, MeaningFamily]) -> dict[str, Meaning]:
    """The union of two families; a graded unit is strong on the first sense and weak on the second.

    The near miss is the union of both near misses, the too-broad one adds a third sense, the too-narrow one knows the
    first sense alone.
    """
    first, second = (found[name].meanings for name in table["senses"])
    third = found[table["third"]].meanings[TRUE]
    return {
        TRUE: _either(first[TRUE], second[TRUE]),
        NEAR_MISS: _either(first[NEAR_MISS], second[NEAR_MISS]),
        TOO_BROAD: _either(first[TRUE], second[TRUE], third),
        TOO_NARROW: _either(first[TRUE]),
    }


def _either(first: Meaning, *others: Meaning) -> Meaning:
    levels = (first.rule.levels, *(other.rule.levels for other in others))
    strengths = (STRONG, *(WEAK for _ in others))
    weaker = f"; more weakly {', or '.join(other.text for other in others)}" if others else ""
    return Meaning(
        text=", or ".join(meaning.text for meaning in (first, *others)),
        rule=Levels(tuple(level for of_one in levels for level in of_one)),
        graded_text=first.text + weaker,
        graded_rule=Levels(
            tuple((spans, strength) for of_one, strength in zip(levels, strengths, strict=True) for spans, _ in of_one)
        ),
    )
