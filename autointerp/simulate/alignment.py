"""Values per token of one tokenizer, carried over to the tokens of another by character offsets.

Where a server's tokens stand in the text that it was sent is told by what it says that they spell. Servers spell bytes
that are no whole character as a replacement character, as escapes, or not at all; some drop the space before a word,
and most list a start token that is not in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int


def overlaps(
    pieces: Sequence[str], offsets: Sequence[tuple[int, int]]
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"], Float[np.ndarray, " pair"]]:
    """Pairs (piece, token) that share characters, each with its share of the piece's covered characters.

    `pieces` concatenate to the text; `offsets` are the (start, end) characters of the other tokenizer's tokens in
    that text. A piece without characters (part of a character) gets the token that covers the place where it
    stands. A piece that no token covers has no pair. The shares of a piece sum to 1.
    """
    ends = list(accumulate(len(p) for p in pieces))
    rows: list[int] = []
    columns: list[int] = []
    weights: list[float] = []
    first = 0
    for row, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
        start = end - len(piece)
        low, high = (start, end) if piece else (start, start + 1)
        while first < len(offsets) and offsets[first][1] <= low:
            first += 1
        shared: list[tuple[int, int]] = []
        place = first
        while place < len(offsets) and offsets[place][0] < high:
            common = min(high, offsets[place][1]) - max(low, offsets[place][0])
            if common > 0:
                shared.append((place, common))
            place += 1
        total = sum(c for _, c in shared)
        for column, common in shared:
            rows.append(row)
            columns.append(column)
            weights.append(common / total)
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64), np.array(weights, dtype=np.float32)


def carry_over(
    values: Float[np.ndarray, "*batch token"], pieces: Sequence[str], offsets: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "*batch piece"]:
    """The overlap-weighted mean of the tokens' values on each piece; 0 where no token covers a piece."""
    rows, columns, weights = overlaps(pieces, offsets)
    spread = np.zeros((len(offsets), len(pieces)), dtype=np.float32)
    spread[columns, rows] = weights
    return np.asarray(values @ spread, dtype=np.float32)


_FIRST = 32
"""Characters that a text's first token may have."""
_PART = "\ufffd"
_ESCAPED = re.compile(r"bytes:( ?)(?:\\x[0-9a-fA-F]{2})+")


def places_of(texts: Sequence[str], whole: str) -> list[tuple[int, int]] | None:
    """The (start, end) characters of each token in `whole`; None when the tokens don't spell it.

    Tokens that follow one another and spell parts of characters all get the run of characters that they may share; one
    without a text gets the character that the next one begins with. The first token may be one that is not in the
    text, or one of which the server does not say what it spells: it gets what is before the second.
    """
    found = _Walk(whole).through(texts)
    for start in range(min(len(whole), _FIRST) + 1 if found is None and len(texts) > 1 else 0):
        rest = _Walk(whole, start).through(texts[1:])
        if rest is not None:
            return [(0, start), *rest]
    return found


@dataclass
class _Walk:
    """A way through a text, token by token."""

    whole: str
    place: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    parted: list[int] = field(default_factory=list)
    """The tokens that share the run of characters from `place` on, whose end is not known yet."""

    def through(self, texts: Sequence[str]) -> list[tuple[int, int]] | None:
        """The tokens' places; None when they don't spell the text."""
        for number, text in enumerate(texts):
            self.places.append((self.place, min(self.place + (not text), len(self.whole))))
            escaped = _ESCAPED.fullmatch(text)
            spelled = f"{escaped[1]}{_PART}" if escaped else text
            for segment in re.split(f"({_PART}+)", spelled):
                if segment.startswith(_PART):
                    self.parted.append(number)
                elif segment and not self._whole_characters(number, segment):
                    return None
        self._end_of_run(self._stretch())
        return self.places if not self.whole[self.place :].strip() else None

    def _whole_characters(self, number: int, segment: str) -> bool:
        """Go over characters that a token spells out; False when they are not there."""
        starts = range(self.place + 1, self._stretch() + 1) if self.parted else range(self.place, self.place + 2)
        start = next((s for s in starts if self.whole.startswith(segment, s)), None)
        if start is None or (not self.parted and self.whole[self.place : start].strip()):
            return False
        begin = start if self.parted and number not in self.parted else self.places[number][0]
        self._end_of_run(start)
        self.place = start + len(segment)
        self.places[number] = (begin, self.place)
        return True

    def _stretch(self) -> int:
        """Where the characters of several bytes end that begin here."""
        end = self.place
        while end < len(self.whole) and not self.whole[end].isascii():
            end += 1
        return end

    def _end_of_run(self, end: int) -> None:
        """The tokens that are open share what is between here and `end`."""
        for number in self.parted:
            self.places[number] = (min(self.places[number][0], self.place), end)
        if self.parted:
            self.parted, self.place = [], end
