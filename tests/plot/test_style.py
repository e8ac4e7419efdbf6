import warnings
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from autointerp.errors import BadInput
from autointerp.plot import glyphs
from autointerp.plot.glyphs import columns, drawable, printable_line, runs
from autointerp.plot.style import BAND, INK, house_style, pt, save


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"), ("a b", "a\u00a0b"), ("a\tb\n", "a\u2192b\u21b5"), ("漢字", "U+6F22U+5B57"),
        ("\x1b[31m", "U+001B[31m"),
        ("\u202eabc", "U+202Eabc"), ("e\u0301", "é"), ("\u0301", "U+0301"), ("של", "U+05E9U+05DC"), ("🙂", "U+1F642"),
        ("$x_1$", "$x_1$"),
        ("\u200b", "U+200B"), ("\ud800", "U+D800"), ("", ""),
    ],
)  # fmt: skip
def test_hostile_text_becomes_glyphs_that_the_font_has(text: str, shown: str) -> None:
    assert drawable(text) == shown


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30))
def test_whatever_it_is_drawing_it_warns_of_nothing(text: str) -> None:
    with warnings.catch_warnings(), house_style():
        warnings.simplefilter("error")
        figure = Figure(figsize=(4, 0.5))
        figure.text(0, 0.5, drawable(text), fontfamily="monospace")
        figure.savefig(BytesIO(), format="png")


def test_a_long_line_is_cut_with_an_ellipsis() -> None:
    assert printable_line("one\ntwo  three", 100) == "one\u00a0two\u00a0three"
    assert printable_line("abcdefgh", 5) == "abcd\u2026"


def sample() -> Figure:
    """Six inches wide, with what figures are made of."""
    figure = Figure(figsize=(6, 3))
    panel = figure.add_subplot()
    panel.plot([0, 1], [0, 1], color=INK, marker="D", markeredgecolor="white")
    panel.axhspan(0, 1, color=BAND)
    panel.text(0, 0, "$text$")
    return figure


def colours(figure: Figure) -> list[str]:
    (panel,) = figure.axes
    line: Any = panel.get_lines()[0]
    parts = (line.get_color(), line.get_markeredgecolor(), panel.patches[0].get_facecolor(), panel.texts[0].get_color())
    return [to_hex(colour) for colour in parts]


def test_a_style_changes_ink_and_paper_and_nothing_else_is_unreadable(tmp_path: Path) -> None:
    with house_style():
        figure = sample()
        save(figure, tmp_path, "house")
        assert colours(figure) == [INK, "#ffffff", BAND, INK]
    with house_style("dark_background"):
        figure = sample()
        svg, _ = save(figure, tmp_path, "dark")
        line, edge, band, text = colours(figure)
    assert (line, edge, text) == ("#ffffff", "#000000", "#ffffff")
    assert int(band[1:3], 16) < 60
    assert "$text$" in svg.read_text("utf8"), "what is not to be read as mathematics is not, in any style"
    own = tmp_path / "own.mplstyle"
    own.write_text("figure.facecolor: ffffcc\nfont.size: 18\n", encoding="utf8")
    with house_style(str(own)):
        assert pt(8) == 16
        figure = sample()
        save(figure, tmp_path, "own")
        assert colours(figure)[1] == to_hex("#ffffcc")
    with house_style():
        assert pt(8) == 8


@pytest.mark.parametrize(("size", "inches", "dots"), [("paper", 7.0, 300), ("slides", 13.33, 144)])
def test_a_size_is_how_wide_a_figure_is_shown(tmp_path: Path, size: str, inches: float, dots: int) -> None:
    with house_style(size=size):
        svg, png = save(sample(), tmp_path, "sized")
    with Image.open(png) as image:
        assert image.width == pytest.approx(inches * dots, abs=1.5)
        assert image.height == pytest.approx(inches * dots / 2, abs=1.5)
    head = svg.read_text("utf8").partition("viewBox")[0]
    assert f'width="{inches * 72:.4f}pt"' in head
    assert f'height="{inches * 36:.4f}pt"' in head


@pytest.mark.parametrize(
    ("style", "size", "message"),
    [
        (
            "dark_backgrond",
            None,
            "no style 'dark_backgrond': name a file, or one of matplotlib's; did you mean 'dar",
        ),
        ("https://e.vil/x.mplstyle", None, "no style 'https://e.vil/x.mplstyle': name a file"),
        (None, "papr", "no size 'papr': did you mean 'paper'"),
    ],
)
def test_what_is_no_style_or_size_is_refused_in_one_line(style: str | None, size: str | None, message: str) -> None:
    with pytest.raises(BadInput, match="no s") as caught, house_style(style, size):
        pass
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_other_scripts_are_drawn_in_the_font_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Played by matplotlib's own fonts: `dejavusans` has Lisu letters, which its monospaced sister has not."""
    assert drawable("\ua4d0漢", others=True) == "U+A4D0U+6F22", "without the package"
    (tmp_path / "sans.ttf").symlink_to(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    spec = ModuleSpec("fonts", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(glyphs, "find_spec", lambda name: spec)
    glyphs._fonts.cache_clear()
    try:
        assert drawable("\ua4d0") == "U+A4D0", "not where one font draws all"
        assert drawable("a\ua4d0漢", others=True) == "a\ua4d0U+6F22"
        (first, family, _), (second, other, piece), (third, *_) = runs("ab\ua4d0c")
        assert (first, family, second, piece, third) == (0, "DejaVu Sans Mono", 2, "\ua4d0", 3)
        assert other.startswith("DejaVu Sans")
        assert other != family
    finally:
        glyphs._fonts.cache_clear()
    assert columns("a漢b") == 4
    assert [start for start, *_ in runs("漢字b")] == [0, 2, 4], "a wide character keeps to its columns"
