"""Text from corpora and language models, made fit to stand in a prompt as data."""

from __future__ import annotations

import json
import re
import unicodedata

_MARKS = re.compile(
    r"<(?=[|｜][^<>\s]*[|｜]>)|<(?=/?s>|/?(?:bos|eos|pad|unk)>|(?:start|end)_of_\w+>|</?SYS>>|/?SYS>)"
    r"|\[(?=/?[A-Z]{2,}(?:_[A-Z]+)*\])"
)
"""Where what a chat template or a tokenizer takes for its own begins: <|im_end|>, </s>, <start_of_turn>, [INST]."""


def quoted(text: str) -> str:
    r"""`text` as a JSON string on one line, in characters that can be seen.

    Quotes, line breaks, all that can't be seen and the first character of a template's marks are escaped (`\u003c`):
    no text can end its line or its quotes, nor become a mark of a turn on a server that looks for them in any text.
    """
    return _MARKS.sub(lambda match: f"\\u{ord(match[0]):04x}", visible(json.dumps(text, ensure_ascii=False)))


def visible(text: str) -> str:
    r"""`text` with everything that can't be seen but blanks, line ends included, as JSON escapes (`\u2028`)."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else json.dumps(c)[1:-1] for c in text)


def cell(text: str) -> str:
    """`text` as it may stand on a line of its own before a tab: nothing in it ends the line, or is a tab."""
    return unmarked(visible(text))


def unmarked(text: str) -> str:
    """`text` with a space inside the marks of chat templates, where there are no quotes to escape them in."""
    return _MARKS.sub(lambda match: f"{match[0]} ", text)


def well_formed(text: str) -> str:
    """The text with lone surrogates, which JSON may hold and no file or tokenizer takes, replaced by question marks."""
    return text if text.isascii() else text.encode("utf8", "replace").decode("utf8")
