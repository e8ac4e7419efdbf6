"""Hostile text made drawable: what a font has is drawn, all else is written as its code point."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

_MONOSPACED = "DejaVu Sans Mono"
_PACKAGES = ("noto_cjk_sans_jp_regular",)
"""Packages that ship a font, taken where they are installed (`pip install autointerp[fonts]`): Han, kana and Hangul."""
_SHOWN = {"\n": "\u21b5", "\r": "\u21b5", "\t": "\u2192"}
_RIGHT_TO_LEFT = ("R", "AL")


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """The code points of every font, by family: the monospaced one, then the others that are there."""
    found = {_MONOSPACED: frozenset(FT2Font(findfont(FontProperties(family=[_MONOSPACED]))).get_charmap())}
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for path in sorted(file for kind in ("ttf", "otf") for file in Path(folder).rglob(f"*.{kind}")):
                fontManager.addfont(path)
                found[FontProperties(fname=path).get_name()] = frozenset(FT2Font(path).get_charmap())
    return found


def drawable(text: str, *, others: bool = False) -> str:
    """`text` for a row, of characters that the monospaced font has.

    Line ends and tabs get arrows. Control, format and combining characters, right-to-left letters (matplotlib does not
    place either in a row of columns), and what no font has are written as code points: `U+4E2D`. `others`: characters
    that another font has stay; `write` draws them.
    """
    return "".join(_glyph(c, others) for c in unicodedata.normalize("NFC", text))


def _glyph(character: str, others: bool) -> str:
    if character in _SHOWN:
        return _SHOWN[character]
    category = unicodedata.category(character)
    if category == "Zs":
        return "\u00a0"  # SVG would collapse plain spaces
    aside = category[0] in "CMZ" or unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
    family = None if aside else _family(character)
    known = family == _MONOSPACED or (others and family is not None)
    return character if known else f"U+{ord(character):04X}"


def _family(character: str) -> str | None:
    """The first font that has a character."""
    return next((family for family, glyphs in _fonts().items() if ord(character) in glyphs), None)


def columns(text: str) -> int:
    """How many columns of a row drawable text takes: two for a wide character."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def runs(text: str) -> Iterator[tuple[int, str, str]]:
    """The pieces of drawable text that one font has, wide characters one by one, which so keep to their columns: the
    column that each begins in, its font's family, itself."""
    column = 0
    for family, group in groupby(text, key=lambda c: _family(c) or _MONOSPACED):
        piece = "".join(group)
        for part in piece if columns(piece) > len(piece) else (piece,):
            yield column, family, part
            column += columns(part)


def write(panel: Axes, column: float, place: float, text: str, **font: Any) -> None:
    """Draw drawable text in a panel whose unit is a column, each run of another font at its own column."""
    for start, family, piece in runs(text):
        own = "monospace" if family == _MONOSPACED else family
        panel.text(column + start, place, piece, **{**font, "fontfamily": own})


def printable_line(text: str, length: int, *, others: bool = False) -> str:
    """`text` drawable on one line of at most `length` columns, cut with an ellipsis; `others` as in `drawable`."""
    line = drawable(" ".join(text.split()), others=others)
    if columns(line) <= length:
        return line
    while columns(line) > length - 1:
        line = line[:-1]
    return line.rstrip() + "\u2026"
