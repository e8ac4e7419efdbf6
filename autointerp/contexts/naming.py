"""Which words an explanation names, and on which tokens of which contexts they stand: reading without any model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int

from autointerp.records import Context, Pairing

LIST = "words such as "
"""How an explanation begins that is a list of words, divided by `, `: what an explainer writes that asks no model."""
LONGEST_WORD = 40
"""Characters kept of a token's text."""

_QUOTED = re.compile(r"[\"“«`]([^\"“”«»`]+)[\"”»`]")
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")
_FUNCTION = frozenset(
    """
    a about after all also an and any are as at be been before beginning between but by can containing contains do each
    either especially etc example examples followed following for from has have how if in include including indicating
    into is it its like may mention mentions more most not of often on one or other others phrase phrases referring
    refers related relating sentence some specific specifically such term terms text than that the their these they
    things this those to token tokens used usually various when where which while with within word words
    """.split()
)
"""Words that a description is made of whatever it is about: it does not name them unless it puts them in quotes."""


@lru_cache(maxsize=1 << 16)
def word_of(piece: str) -> str:
    """The canonical form of a token's text: printable characters on one line, stripped, at most 40; may be ''.

    Case is kept. Tokens are hostile text: control and invisible characters are dropped.
    """
    visible = "".join(c for c in piece if c.isprintable() or c.isspace())
    return " ".join(visible.split())[:LONGEST_WORD].rstrip()


def is_list(explanation: str) -> bool:
    """Whether it is a list of words and no description."""
    return explanation.startswith(LIST)


def kind_of(explanation: str) -> Pairing:
    """Which of the two kinds of text it is."""
    return Pairing.LIST if is_list(explanation) else Pairing.DESCRIPTION


def named_words(explanation: str) -> frozenset[str]:
    """The words that an explanation names: the items of a list; of a description what it quotes, and every word of it
    that is not one of those that any description is made of."""
    if is_list(explanation):
        return frozenset(filter(None, explanation.removeprefix(LIST).split(", ")))
    words = [word for word in _WORD.findall(explanation) if word[0].isalnum() and word.casefold() not in _FUNCTION]
    return frozenset([*words, *(quoted.strip() for quoted in _QUOTED.findall(explanation))])


class Named:
    """On which tokens the words of an explanation stand."""

    def __init__(self, whole: bool = False) -> None:
        """`whole`: a token counts that belongs to a named word, whatever its case; else one whose text is one."""
        self._whole = whole
        self._codes: dict[str, int] = {}
        self._known: dict[tuple[str, ...], Int[np.ndarray, " token"]] = {}

    def tokens(self, explanation: str, contexts: Sequence[Context]) -> Bool[np.ndarray, "context token"]:
        """True where a token is named. All contexts have as many tokens."""
        texts = named_words(explanation)
        if self._whole:
            texts = frozenset(part.casefold() for text in texts for part in parted(text))
        rows = np.stack([self._row(context.pieces) for context in contexts])
        named = [self._codes[text] for text in texts if text in self._codes]
        return np.isin(rows, named)

    def _row(self, pieces: tuple[str, ...]) -> Int[np.ndarray, " token"]:
        if pieces not in self._known:
            texts = [word.casefold() for word in whole_words(pieces)] if self._whole else [word_of(p) for p in pieces]
            self._known[pieces] = np.array([self._code(text) for text in texts], dtype=np.int64)
        return self._known[pieces]

    def _code(self, text: str) -> int:
        return self._codes.setdefault(text, len(self._codes)) if text else -1


def parted(text: str) -> list[str]:
    """The words of a text, and its runs of other signs, in their order."""
    return _WORD.findall(text)


def whole_words(pieces: Sequence[str]) -> list[str]:
    """The first word (or run of other signs) that each token has a part in, as it is written; '' for blanks."""
    ends = np.cumsum([len(piece) for piece in pieces])
    words = [(match.start(), match.end(), match.group()) for match in _WORD.finditer("".join(pieces))]
    found, place = [], 0
    for piece, end in zip(pieces, ends.tolist(), strict=True):
        while place < len(words) and words[place][1] <= end - len(piece):
            place += 1
        found.append(words[place][2] if place < len(words) and words[place][0] < end else "")
    return found
