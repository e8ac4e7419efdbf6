"""What a model wrote after it had thought aloud, in the marks that servers leave in the text."""

from __future__ import annotations

import re

_TAG = r"(think|thinking|thought|thoughts|reasoning)"
_THOUGHT = re.compile(rf"\A\s*[<\[]{_TAG}[>\]].*?([<\[]/\1[>\]]|\Z)", re.I | re.S)
_THOUGHT_ENDS = re.compile(rf"[<\[]/{_TAG}[>\]][ \t]*(?:\n|\Z)", re.I)


def without_thoughts(answer: str) -> str:
    """What a model wrote after it had thought; '' where it only thought. Some servers leave the closing mark alone."""
    text = _THOUGHT.sub("", answer, count=1)
    ends = [match.end() for match in _THOUGHT_ENDS.finditer(text)]
    return text[ends[-1] :].strip() if ends else text.strip()
