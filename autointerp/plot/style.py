"""The look that all figures share, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
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
_ARMS = {"neuron": "#d55e00", "neuron-sparse": "#e69f00", "direction": "#5d6d6d", "direction-sparse": "#93a3a3"}
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
    FigureCanvasAgg(figure)
    pixels = BytesIO()
    figure.savefig(pixels, format="png", dpi=_DPI, facecolor="white")
    image = Image.open(pixels).convert("RGB")
    palette = image.quantize(_PNG_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    with atomic_path(picture) as temporary:
        palette.save(temporary, format="PNG", optimize=True)
    with atomic_path(vector) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return [vector, picture]
