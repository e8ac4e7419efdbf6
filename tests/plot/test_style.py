import warnings
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from autointerp.plot.style import BOX, drawable, house_style, printable_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"), ("a b", "a\u00a0b"), ("a\tb\n", "a\u2192b\u21b5"), ("漢字", BOX * 2),
        ("\x1b[31m", BOX + "[31m"),
        ("\u202eabc", BOX + "abc"), ("e\u0301", "é"), ("\u0301", BOX), ("שלום", BOX * 4), ("🙂", BOX),
        ("$x_1$", "$x_1$"),
        ("\u200b", BOX), ("\ud800", BOX), ("", ""),
    ],
)  # fmt: skip
def test_hostile_text_becomes_one_glyph_a_character(text: str, shown: str) -> None:
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
