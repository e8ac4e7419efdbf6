import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.compare.words import capital
from autointerp.report.markdown import escape, prose, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, as they are.", "plain words, as they are."),
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[x](http://e.vil)", r"\[x\](http\://e.vil)"),
        ("www.e.vil", r"www\.e.vil"),
        ("me@e.vil", r"me\@e.vil"),
        ("**bold** _it_ `code` $x$ ~s~ &amp;", r"\*\*bold\*\* \_it\_ \`code\` \$x\$ \~s\~ \&amp;"),
        ("two\nlines\t and \r more", "two lines and more"),
        ("\x1b[31mred\u202e", "\ufffd\\[31mred\ufffd"),
        ("ratio: 1", "ratio: 1"),
    ],
)
def test_hostile_text_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_long_text_is_cut() -> None:
    assert escape("x" * 500) == "x" * 239 + "\u2026"


@given(st.text(max_size=60))
def test_a_cell_is_one_line_and_opens_no_cell(text: str) -> None:
    shown = escape(text)
    assert "\n" not in shown
    assert "|" not in shown.replace("\\\\", "").replace("\\|", "")


def test_prose_keeps_what_reads_well() -> None:
    assert prose("0.37 [0.28, 0.46], p < 0.001: more") == "0.37 [0.28, 0.46], p < 0.001: more"
    assert prose("features (my_sae) <b>") == r"features (my\_sae) \<b>"


def test_a_table_is_aligned() -> None:
    assert table(["a", "b"], [["x", "1"], ["y", "2"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n| y | 2 |"
    assert capital("random directions") == "Random directions"
