"""The report as one HTML file that stands alone: the Markdown of `report.md`, with its figures inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

_FIGURE = re.compile(r"figures/[\w.-]+\.png")
"""The one thing that an image of the report may be."""

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; font: 16px/1.5 system-ui, sans-serif; color: #222;
  background: #fff; overflow-wrap: anywhere; }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.6em 0 .5em; }
h2 { border-top: 1px solid #d4d4d4; padding-top: .8em; }
.wide { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: .875rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #d4d4d4; text-align: left; vertical-align: top;
  unicode-bidi: isolate; min-width: 2.5rem; max-width: 26rem; overflow-wrap: break-word; }
.right { text-align: right; white-space: nowrap; }
code { background: #f0f0f0; padding: 0 .15em; border-radius: .2em; unicode-bidi: isolate; white-space: pre-wrap; }
li li code { background: #ffe9a8; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; font-size: .8rem; max-height: 30rem; }
pre code { background: none; padding: 0; white-space: pre; }
img { display: block; max-width: 100%; height: auto; }
nav ul { columns: 2; padding-left: 1.2rem; }
a { color: #0b5cad; }
@media (max-width: 700px) { .wide img { max-width: none; width: 760px; } ul { padding-left: 1.2rem; } }
"""


def as_html(text: str, run_dir: Path) -> str:
    """A whole page out of the report's Markdown; `run_dir`: where its figures are.

    Nothing in it can run or be loaded: HTML and links in the text stay text, an image is a figure of the run or text,
    and the page's policy allows styles and images inside it alone.
    """
    parser = _parser()
    tokens = parser.parse(text)
    contents = _mark(tokens, run_dir)
    body = parser.renderer.render(tokens, parser.options, {})
    title = next((token.content for before, token in _pairs(tokens) if before.tag == "h1"), "Report")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body.replace('<h2', f'{contents}<h2', 1)}</body>\n</html>\n"
    )


def _parser() -> MarkdownIt:
    """CommonMark and tables, without HTML, links and character references; only figures of the run are images."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["html_block", "html_inline", "link", "autolink", "entity", "reference"])
    parser.validateLink = lambda url: _FIGURE.fullmatch(url) is not None  # type: ignore[method-assign]
    return parser


def _pairs(tokens: Sequence[Token]) -> list[tuple[Token, Token]]:
    return list(pairwise(tokens))


def _mark(tokens: list[Token], run_dir: Path) -> str:
    """Put names on headings, figures into images, and a frame that scrolls around what is wide; the contents."""
    entries = []
    for place, (token, following) in enumerate(_pairs(tokens)):
        if token.type == "heading_open" and token.tag == "h2":
            token.attrSet("id", f"part-{place}")
            entries.append(f'<li><a href="#part-{place}">{escape(following.content)}</a></li>')
        style: Any = token.attrs.pop("style", "") if token.type in ("th_open", "td_open") else ""
        if "right" in str(style):
            token.attrSet("class", "right")
        for child in token.children or ():
            if child.type == "image":
                child.attrSet("src", _inlined(run_dir / str(child.attrGet("src"))))
    frames: list[Token] = []
    for token in tokens:
        wide = token.type == "inline" and [child.type for child in token.children or ()] == ["image"]
        if wide and frames and frames[-1].type == "paragraph_open":
            frames[-1] = Token("paragraph_open", "div", 1, attrs={"class": "wide"}, block=True)
        closes = frames and frames[-1].type == "inline" and frames[-1].meta.get("wide")
        if token.type == "table_open":
            frames.append(Token("frame_open", "div", 1, attrs={"class": "wide"}, block=True))
        if wide:
            token.meta["wide"] = True
        frames.append(Token("paragraph_close", "div", -1, block=True) if closes else token)
        if token.type == "table_close":
            frames.append(Token("frame_close", "div", -1, block=True))
    tokens[:] = frames
    return f"<nav><ul>{''.join(entries)}</ul></nav>" if entries else ""


def _inlined(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}" if path.is_file() else ""
