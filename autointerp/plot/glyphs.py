"""Hostile text made drawable: one visible, fixed-width, left-to-right glyph per character."""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

BOX = "\u25a1"
_SHOWN = {"\n": "\u21b5", "\r": "\u21b5", "\t": "\u2192"}
_RIGHT_TO_LEFT = ("R", "AL")


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties(family=["DejaVu Sans Mono"]))).get_charmap())


def drawable(text: str) -> str:
    """`text` for a monospaced row: as many columns as it has characters.

    Line ends and tabs get arrows; control, format and combining characters, right-to-left letters, and what the
    font lacks get a box.
    """
    return "".join(_glyph(c) for c in unicodedata.normalize("NFC", text))


def _glyph(character: str) -> str:
    if character in _SHOWN:
        return _SHOWN[character]
    category = unicodedata.category(character)
    if category == "Zs":
        return "\u00a0"  # SVG would collapse plain spaces
    if category[0] in "CMZ" or unicodedata.bidirectional(character) in _RIGHT_TO_LEFT:
        return BOX
    return character if ord(character) in _glyphs() else BOX


def one_line(text: str, length: int) -> str:
    """`text` drawable on one line of at most `length` characters, cut with an ellipsis."""
    line = drawable(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1].rstrip() + "\u2026"
