"""Texts of explanations: the words that a unit is active on, and what a language model wrote, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autointerp.contexts.naming import word_of as word_of  # other packages import it from here
from autointerp.explain.interface import ShownContext
from autointerp.records import Unscored


def top_words(contexts: Sequence[ShownContext], n: int) -> list[str]:
    """The `n` words with the highest activation summed over all their tokens; fewer when fewer are active."""
    sums: dict[str, float] = {}
    for context in contexts:
        for piece, activation in zip(context.pieces, context.activations.tolist(), strict=True):
            if activation > 0 and (word := word_of(piece)):
                sums[word] = sums.get(word, 0.0) + activation
    return sorted(sums, key=lambda word: (-sums[word], word))[:n]


def peak_words(contexts: Sequence[ShownContext]) -> list[str]:
    """The word under the peak of each active context, in their order, each once; a token without a word is left out."""
    peaks = (c.pieces[int(c.activations.argmax())] for c in contexts if c.peak > 0)
    return [word for word in dict.fromkeys(word_of(piece) for piece in peaks) if word]


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
