"""The page that stands alone: what is in it, and what hostile text can't bring into it."""

from __future__ import annotations

import base64
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autointerp.plot.stage import plot
from autointerp.report.html import as_html
from autointerp.report.in_context import in_context
from autointerp.report.markdown import code, escape, table
from autointerp.report.reproducing import fenced
from autointerp.report.stage import report
from autointerp.tables import read_table, write_table
from tests.fake_run import HOSTILE, Plan, finished

OURS = {
    "html", "head", "meta", "title", "style", "body", "nav", "ul", "li", "a", "h1", "h2", "h3", "h4", "p", "div",
    "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "strong", "em", "img", "hr",
}  # fmt: skip
PLAIN = {"blockquote", "ol", "br", "h5", "h6"}
"""What our reports don't write, and Markdown may: it brings nothing from elsewhere."""
EVIL = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://e.vil/a.png)",
    "![x](figures/../../secret.png)", "<http://e.vil>", "&lt;script&gt;", "a\n\n# heading\n\n| a |\n| - |", "```\n<b>",
    "\u202etxt.exe", "\x00\x1b[31m", "</code></pre></body>", "`` ` ```", "\\`<b>`", "| x | y |", "--> ]]>", "**",
    "[a]: http://e.vil", "javascript:alert(1)", "\u2028\u2029\u2066", " ", "",
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if "td" in self._open:
            self.cells[-1] += data


def assert_safe(page: Page, tags: Collection[str] = OURS) -> None:
    known = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "src", "alt", "title", "start"}
    for tag, attrs in page.tags:
        assert tag in tags
        assert set(attrs) <= known
        assert str(attrs.get("href", "#")).startswith("#")
        assert str(attrs.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose explanations and contexts are hostile, with its figures."""
    folder = tmp_path_factory.mktemp("run")
    less = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}
    finished(folder, Plan(quality={"feature": 0.9, "neuron": 0.4}, units=3, settings=less))
    rows = read_table(folder / "explanations.parquet").to_dict("records")
    for row, evil in zip(rows, EVIL, strict=False):
        row["text"] = evil
    write_table("explanations", folder / "explanations.parquet", rows)
    plot(folder)
    report(folder)
    return folder


def test_the_page_stands_alone_and_says_what_the_markdown_says(run: Path) -> None:
    text = (run / "report.html").read_text("utf8")
    page = Page(text)
    assert_safe(page)
    metas = [attrs for tag, attrs in page.tags if tag == "meta"]
    (policy,) = (attrs["content"] for attrs in metas if attrs.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert any(attrs.get("content") == "width=device-width, initial-scale=1" for attrs in metas)
    markdown = (run / "report.md").read_text("utf8")
    named = [line[2 : line.index("]")] for line in markdown.splitlines() if line.startswith("![")]
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [attrs["alt"] for attrs in pictures] == named
    assert len(named) >= 4
    found = [base64.b64decode(str(attrs["src"]).partition(",")[2]) for attrs in pictures]
    assert sorted(found) == sorted(path.read_bytes() for path in (run / "figures").glob("*.png"))
    assert sum(tag == "table" for tag, _ in page.tags) == markdown.count("\n| ---")
    headings = [line.lstrip("# ") for line in markdown.splitlines() if line.startswith("## ")]
    anchors = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert [f"#{attrs['id']}" for tag, attrs in page.tags if tag == "h2"] == anchors
    assert len(anchors) == len(headings)


def test_the_settings_and_the_examples_of_hostile_text_are_text(run: Path) -> None:
    page = Page((run / "report.html").read_text("utf8"))
    assert "<script>alert(1)</script>" in page.text
    assert "[x](javascript:alert(1))" in page.text
    assert '[[sae]]\nname = "sae"' in page.text
    assert not {"\x00", "\x1b", "\u202e", "\u2066"} & set(page.text)


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_opens_nothing_wherever_it_stands(evil: str, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    line = in_context([evil, " a", evil, evil, " b"], np.array([0.0, 1.0, 1.0, 0.0, 0.9]))
    cells = table(["a", "b", "c"], [[escape(evil), code(evil), "end"]], left=3)
    text = f"# {escape(evil)}\n\n{cells}\n\n- one\n  - {line}\n\n{fenced(evil, 'toml')}\n\nlast"
    page = Page(as_html(text, tmp_path))
    assert_safe(page)
    assert page.cells[2] == "end"
    assert len(page.cells) == 3
    assert page.text.rstrip().endswith("last")
    assert sum(tag == "pre" for tag, _ in page.tags) == 1
    assert not any(tag == "img" for tag, _ in page.tags)


@settings(max_examples=60, deadline=None)
@example([">"])
@example(["7. ", "a  \nb\n\n###### c"])
@given(st.lists(st.one_of(st.sampled_from([*EVIL, *HOSTILE]), st.text(max_size=4)), min_size=1, max_size=5))
def test_markdown_that_was_never_escaped_is_safe_too(pieces: list[str]) -> None:
    assert_safe(Page(as_html("".join(pieces), Path("nowhere"))), OURS | PLAIN)


@given(st.text(alphabet="`a \\|<*\n", max_size=12))
def test_a_span_of_code_reads_as_what_it_is_of(text: str) -> None:
    shown = text.replace("\n", "\u21b5")
    alone = Page(as_html(f"x{code(text, cell=False)}y", Path("nowhere")))
    assert alone.text.split() == f"Report x{shown}y".split() or shown.strip(" ") == ""
    in_table = Page(as_html(table(["a"], [[f"x{code(text)}y"]]), Path("nowhere")))
    if "\\|" not in shown:  # a table takes the backslash before a bar for its own
        assert in_table.cells[0].split() == f"x{shown}y".split() or shown.strip(" ") == ""


def test_tokens_that_are_active_are_marked_with_the_blanks_outside() -> None:
    values = np.array([0.0, 0.6, 1.0, 0.2, 0.0])
    assert in_context(["the", " big", " dog", " ran", "*"], values) == r"the `big dog` ran\*"
    assert in_context(["un", "do", "", "ing"], np.array([0.0, 1.0, 0.0, 1.0])) == "un`doing`"
    long = in_context([f" {n}" for n in range(60)], np.eye(60)[30])
    assert long.startswith("\u2026 14 15")
    assert long.endswith("`30` 31 32 33 34 35 36 37 38 \u2026")
