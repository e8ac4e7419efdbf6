"""Markdown out of data: hostile text escaped, tables laid out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&@]|:(?=//))")
_IN_PROSE = re.compile(r"([\\`*_~$|]|<(?=[A-Za-z/!?]))")
_LONGEST = 240
_SHOWN = {"\n": "\u21b5", "\r": "\u21b5", "\t": "\u2192"}
BAR = "\\|"
"""A bar in a table that ends no cell."""
UNKNOWN = "\u2013"
"""In a cell that has no number."""


def escape(text: str, longest: int = _LONGEST) -> str:
    """`text` as it reads, on one line: no markup, link, HTML, mathematics, table cell or hidden character of its "
    "own."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" or c in "\n\r\t" else "\ufffd" for c in text)
    line = " ".join(shown.split())
    if len(line) > longest:
        line = line[: longest - 1].rstrip() + "\u2026"
    return _SPECIAL.sub(r"\\\1", line).replace("www.", "www\\.")


def code(text: str, longest: int = _LONGEST, cell: bool = True) -> str:
    """`text` as a span of code on one line, in which nothing is markup; '' for no text.

    Line ends and hidden characters are shown by others. `cell`: a bar is escaped, since the span stands in a table.
    """
    line = "".join(_SHOWN.get(c, "\ufffd" if unicodedata.category(c)[0] == "C" else c) for c in text)
    line = line.replace("\u2028", "\u21b5").replace("\u2029", "\u21b5")
    if len(line) > longest:
        line = line[: longest - 1].rstrip() + "\u2026"
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    padded = f" {line} " if line[0] in "` " or line[-1] in "` " else line
    return f"{fence}{padded.replace('|', BAR) if cell else padded}{fence}"


def prose(text: str) -> str:
    """A sentence of our own, in which only names (of SAEs, stages...) might hold markup."""
    return _IN_PROSE.sub(r"\\\1", text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the rest right. Cells are escaped by the caller."""
    marks = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *rows))
