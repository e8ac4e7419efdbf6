"""The look that all figures share, and how they are saved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rc_params_from_file, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.style import context as style_context
from matplotlib.style import library
from PIL import Image

from autointerp.artifacts import atomic_path
from autointerp.errors import BadInput, nearest
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

_LOOK: Any = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],  # laid out in the first, which comes with matplotlib
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_ALWAYS: Any = {
    "svg.hashsalt": "autointerp",  # ids in the SVG depend on it: the same tables give the same bytes
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "font.monospace": ["DejaVu Sans Mono", "Menlo", "Liberation Mono", "Courier New", "monospace"],
    "text.hinting": "none",  # else the raster rounds the width of every glyph, and rows of text outgrow their colours
    "axes.formatter.use_mathtext": False,
    "text.parse_math": False,  # text of corpora and models may hold `$`
    "text.usetex": False,
    "path.simplify": True,
    "savefig.dpi": "figure",
}

_DPI = 120
_PNG_COLOURS = 128
_SIZES = {"paper": (1.12, 7.0, 300), "slides": (1.12, 13.33, 144)}
"""Text in units of the usual, width of the figure in inches, dots per inch of the PNG."""
SIZES = tuple(_SIZES)


@contextmanager
def house_style(style: str | None = None, size: str | None = None) -> Iterator[None]:
    """The settings under which figures are made and saved, whatever the user's own matplotlib settings are.

    `style`: a style of matplotlib by name, or the path of a style file, over the house's look. `size`: `paper` (as wide
    as a page's text, 300 dots per inch) or `slides` (a slide of 13.33 inches). Raises BadInput for others.
    """
    if size is not None and size not in _SIZES:
        raise BadInput(f"no size '{size}'", nearest(size, _SIZES))
    chosen = {} if style is None else _read_style(style)
    sized: Any = {}
    if size is not None:
        text, width, dots = _SIZES[size]
        sized = {"figure.figsize": (width, width), "savefig.dpi": dots, "font.size": _LOOK["font.size"] * text}
    with style_context("default"), rc_context(_LOOK), rc_context(chosen), rc_context(_ALWAYS), rc_context(sized):
        yield


def _read_style(style: str) -> Any:
    """The settings of a style of matplotlib or of a file; never of an address."""
    if style in library:
        return library[style]
    path = Path(style).expanduser()
    if not path.is_file():
        raise BadInput(f"no style '{style}'", f"name a file, or one of matplotlib's; {nearest(style, library)}")
    try:
        return rc_params_from_file(path, use_default_template=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is no style of matplotlib ({error})", "write 'key: value' lines") from error


def pt(points: float) -> float:
    """A font size, `points` in the house's look; larger where the style or the size wants larger text."""
    return float(points * rcParams["font.size"] / _LOOK["font.size"])


def colour_of(arm: str) -> str:
    """The colour of an arm; all feature arms share one, and so do those of a kind at several hooks."""
    return _FEATURE if is_feature(arm) else _ARMS.get(arm.partition(":")[0], _OTHER)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.svg and `name`.png, whole or not at all; no date and no version in them."""
    vector, picture = folder / f"{name}.svg", folder / f"{name}.png"
    _recolour(figure)
    sized = rcParams["savefig.dpi"] != "figure"
    scale = rcParams["figure.figsize"][0] / figure.get_figwidth() if sized else 1.0
    figure.set(dpi=rcParams["savefig.dpi"] * scale if sized else _DPI, facecolor=rcParams["figure.facecolor"])
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
        if sized:
            temporary.write_text(_scaled(temporary.read_text("utf8"), scale), encoding="utf8")
    return [vector, picture]


def _scaled(svg: str, scale: float) -> str:
    """The drawing at another size: its own coordinates stay."""
    sizes = re.compile(r'(width|height)="([\d.]+)pt"')  # no other element has points
    return sizes.sub(lambda m: f'{m[1]}="{float(m[2]) * scale:.4f}pt"', svg, count=2)


def _recolour(figure: Figure) -> None:
    """Put the style's ink and paper for the house's; nothing where they are the same."""
    ink, paper = (np.array(to_rgb(rcParams[name])) for name in ("text.color", "figure.facecolor"))
    house = (np.array(to_rgb(INK)), np.ones(3))
    if np.allclose(ink, house[0]) and np.allclose(paper, house[1]):
        return
    others = {}
    for name in (INK, QUIET, RULE, BAND, "#ffffff"):
        share = (1 - np.array(to_rgb(name))).mean() / (1 - house[0]).mean()  # of ink on paper
        others[name] = to_hex(paper + share * (ink - paper))
    for artist in figure.findobj():
        named = {}
        for part in ("color", "facecolor", "edgecolor", "markeredgecolor", "markerfacecolor"):
            read = getattr(artist, f"get_{part}", None)
            found = "none" if read is None else read()
            colours: Any = to_rgba_array(found) if isinstance(found, str | tuple | np.ndarray) else []
            if len(colours) == 1 and colours[0][3] > 0:
                named[part] = (to_hex(colours[0]), float(colours[0][3]))
        for part, (name, alpha) in named.items():  # what the style drew itself is its own: only edges are paper
            if name in others and (name != "#ffffff" or part == "markeredgecolor"):
                getattr(artist, f"set_{part}")((*to_rgb(others[name]), alpha))


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
