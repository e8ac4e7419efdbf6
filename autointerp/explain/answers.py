"""Reading what a language model wrote: an explanation, or why it is none."""

from __future__ import annotations

import re

from autointerp.records import Unscored

LONGEST = 500
"""Characters of an explanation; an answer beyond that is no explanation."""
_QUOTES = "\"'`“”‘’«»*_ "
_DECLINED = re.compile(
    r"(i'?m sorry|i am sorry|sorry[,.]|i can(no|')t|i am (unable|not able)|i'?m (unable|not able)|as an ai\b)", re.I
)


def one_line(text: str) -> str:
    """Printable characters on one line, without quotes and marks around them."""
    visible = "".join(c for c in text if c.isprintable() or c.isspace())
    return " ".join(visible.split()).strip(_QUOTES)


def checked(text: str) -> str | Unscored:
    """The explanation in `text`; Unscored when it is empty, too long, or an apology."""
    line = one_line(text)
    if not any(c.isalnum() for c in line):
        return Unscored("empty answer")
    if len(line) > LONGEST:
        return Unscored("the answer is too long for an explanation")
    if _DECLINED.match(line.replace("’", "'")):
        return Unscored("the model declined")
    return line
