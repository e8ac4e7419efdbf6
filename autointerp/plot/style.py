"""The look that all figures share, how they are saved, and hostile text made drawable."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font
from matplotlib.style import context as style_context
from PIL import Image

from autointerp.artifacts import atomic_path
from autointerp.units.arms import is_feature

INK = "#222222"
QUIET = "#6b6b6b"
RULE = "#d4d4d4"
BAND = "#e4e4e4"
CEILING = "#7b3294"
TRUE = "#0072b2"
PREDICTED = "#d55e00"
_FEATURE = "#0072b2"
_ARMS = {"neuron": "#d55e00", "neuron-sparse": "#e69f00", "direction": "#5d6d6d", "direction-sparse": "#93a3a3",
         "noise": "#b0a8b9", "principal": "#009e73", "principal-sparse": "#66c4ab",
         "independent": "#cc79a7", "independent-sparse": "#e0afca"}  # fmt: skip
_OTHER = "#009e73"  # the palette is Okabe and Ito's, told apart by readers with any colour vision

_SETTINGS: Any = {
    "svg.hashsalt": "autointerp",  # ids in the SVG depend on it: the same tables give the same bytes
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],  # laid out in the first, which comes with matplotlib
    "font.monospace": ["DejaVu Sans Mono", "Menlo", "Liberation Mono", "Courier New", "monospace"],
    "font.size": 9.0,
    "text.hinting": "none",  # else the raster rounds the width of every glyph, and rows of text outgrow their colours
    "axes.titlesize": 10.0,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "text.parse_math": False,  # text of corpora and models may hold `$`
    "xtick.color": INK,
    "ytick.color": INK,
    "path.simplify": True,
}

_DPI = 120
_PNG_COLOURS = 128


@contextmanager
def house_style() -> Iterator[None]:
    """The settings under which figures are made and saved, whatever the user's own matplotlib settings are."""
    with style_context("default"), rc_context(_SETTINGS):
        yield


def colour_of(arm: str) -> str:
    """The colour of an arm; all feature arms share one."""
    return _FEATURE if is_feature(arm) else _ARMS.get(arm, _OTHER)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.svg and `name`.png, whole or not at all; no date and no version in them."""
    vector, picture = folder / f"{name}.svg", folder / f"{name}.png"
    figure.set(dpi=_DPI, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    palette = image.quantize(_PNG_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    with atomic_path(picture) as temporary:
        palette.save(temporary, format="PNG")
    figure.set_layout_engine("none")  # the places are found: once for both files
    canvas = FigureCanvasSVG(figure)
    with atomic_path(vector) as temporary:
        canvas.print_svg(temporary, metadata={"Date": None, "Creator": None})
    return [vector, picture]


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


def printable_line(text: str, length: int) -> str:
    """`text` drawable on one line of at most `length` characters, cut with an ellipsis."""
    line = drawable(" ".join(text.split()))
    return line if len(line) <= length else line[: length - 1].rstrip() + "\u2026"


def framed(panel: Axes, lines: Sequence[tuple[str, bool]], ends: Iterable[float | None], tallest: int) -> None:
    """The frame of panels with a line per difference: each line's text, in bold where it is a heading, and room for
    all ends of intervals; `tallest`: lines of the panel that has most."""
    bounds = [end for end in ends if end is not None]
    low, high = min([-0.05, *bounds]), max([0.15, *bounds])
    panel.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    panel.set_yticks(range(len(lines)), [text for text, _ in lines])
    for tick, (_, heading) in zip(panel.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
        tick.set_horizontalalignment("right")
    panel.set_ylim(tallest - 0.4, -0.7)
