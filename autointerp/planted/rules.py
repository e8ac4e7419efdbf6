"""Rules: what a meaning says about a text, character by character, carried to whatever tokens spell the text.

A rule reads the text that a context shows and nothing else, so whoever reads that text can know the truth: a word that
the context's edge cuts is the word that is seen. Every token that overlaps a match is active, so a word of several
tokens is active on all of them, and so are the tokens that only start a character of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from autointerp.artifacts import rng_of
from autointerp.records import Context

WEAK, STRONG = 0.4, 1.0
"""The two levels of a graded unit; a binary one has STRONG alone."""
WORD = r"[^\W\d_]+"
AT = "at"
"""Name of the group that marks the active part of a pattern; without it the whole match is active."""

_MARKERS = {
    "english": "the of and to is that with are was by from this which be it an for",
    "french": "le les des du une est dans et pour qui sur au aux avec il elle ce cette sont plus ou par",
    "spanish": "el los las del una por con y para como su sus al fue más lo es",
}
"""Small words that tell a language from the other two: none is shared by two of them."""
_MARKER_SETS = {name: frozenset(words.split()) for name, words in _MARKERS.items()}
_SHARE_OF_MARKERS = 0.12
_FEWEST_MARKERS = 3


@runtime_checkable
class Rule(Protocol):
    """What one meaning predicts."""

    def activations(self, context: Context) -> Float[np.ndarray, " token"]:
        """The activation of each token, from 0 (silent) to 1."""
        ...

    def may(self, text: str) -> bool:
        """False where it is silent on all of a text: most rules are on most texts, and seeing so costs little."""
        ...


@runtime_checkable
class Spans(Protocol):
    """Finds the active parts of a text."""

    def of(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Words:
    """Whole words, in any case of letters."""

    words: frozenset[str]
    """In lower case."""

    def of(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each such word."""
        there = _places(text)
        for word in self.words & there.keys():
            yield from there[word]


@dataclass(frozen=True)
class Matches:
    """The parts of a text that match a pattern, in texts of some languages."""

    pattern: re.Pattern[str]
    languages: frozenset[str] = frozenset()
    """Names out of `language_of`; none: every text."""

    def of(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each match, or of its group AT."""
        if self.languages and language_of(text) not in self.languages:
            return
        group = AT if AT in self.pattern.groupindex else 0
        for match in self.pattern.finditer(text):
            yield match.span(group)


@dataclass(frozen=True)
class Levels:
    """Spans with the activation that each gives; the highest counts."""

    levels: tuple[tuple[Spans, float], ...]

    def activations(self, context: Context) -> Float[np.ndarray, " token"]:
        """The highest level of the spans that overlap each token."""
        text = context.text
        found = [(level, start, end) for spans, level in self.levels for start, end in _found(spans, text)]
        if not found:
            return np.zeros(len(context.pieces), dtype=np.float32)
        characters = np.zeros(len(text) + 1, dtype=np.float32)
        for level, start, end in sorted(found):
            characters[start:end] = level  # the highest is written last
        return over_tokens(characters, context.pieces)

    def may(self, text: str) -> bool:
        """Whether any level has a span there."""
        return any(_found(spans, text) for spans, _ in self.levels)


@dataclass(frozen=True)
class Noise:
    """Tokens drawn at random, independently of the text."""

    density: float
    """Chance of a token to be active."""
    graded: bool
    """Whether half of the active tokens are weak."""
    seed: int

    def activations(self, context: Context) -> Float[np.ndarray, " token"]:
        """The same for the same context and seed."""
        rng = rng_of(self.seed, "planted-noise", context.context)
        active, weak = rng.random((2, len(context.pieces)))
        level = np.where(weak < 0.5, WEAK, STRONG) if self.graded else STRONG
        return np.where(active < self.density, level, 0.0).astype(np.float32)

    def may(self, text: str) -> bool:
        """True: chance decides."""
        return True


def over_tokens(characters: Float[np.ndarray, " character"], pieces: tuple[str, ...]) -> Float[np.ndarray, " token"]:
    """The highest of the characters' values under each token. `characters` has a 0 after the last character.

    A token without a piece starts the character that stands next, and gets its value.
    """
    return np.maximum.reduceat(characters, _starts(pieces))


@lru_cache(maxsize=1 << 14)
def _starts(pieces: tuple[str, ...]) -> Int[np.ndarray, " token"]:
    """Where each token starts, in characters."""
    return np.array([0, *accumulate(map(len, pieces[:-1]))], dtype=np.int64)


@lru_cache(maxsize=1 << 14)
def language_of(text: str) -> str | None:
    """The language that a text is written in, by its small words; None where there are too few of them."""
    words = re.findall(WORD, text.lower())
    counts = {name: sum(word in markers for word in words) for name, markers in _MARKER_SETS.items()}
    best = max(counts, key=counts.__getitem__)
    enough = counts[best] >= max(_FEWEST_MARKERS, _SHARE_OF_MARKERS * len(words))
    return best if enough and sum(counts.values()) < 2 * counts[best] else None


@lru_cache(maxsize=1 << 15)
def _found(spans: Spans, text: str) -> tuple[tuple[int, int], ...]:
    """The spans of a text: most are of several rules, as those of a binary unit and of its graded twin."""
    return tuple(spans.of(text))


@lru_cache(maxsize=1 << 14)
def _places(text: str) -> Mapping[str, Sequence[tuple[int, int]]]:
    """(start, end) of every occurrence of every word of a text, by the word in lower case."""
    found: dict[str, list[tuple[int, int]]] = {}
    for match in re.finditer(r"\w+", text):
        found.setdefault(match.group().lower(), []).append(match.span())
    return found
