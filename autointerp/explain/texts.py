"""Texts of explanations: the words that a unit is active on, and what a language model wrote, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autointerp.contexts.naming import word_of as word_of  # other packages import it from here
from autointerp.explain.interface import ShownContext
from autointerp.llm.answers.thoughts import without_thoughts
from autointerp.llm.request import Unreadable
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
TOO_LONG = Unreadable("the answer is too long for an explanation")
_OPENING, _CLOSING = "\"'`“‘«", "\"'`”’»"
_DECLINED = re.compile(
    r"(i'?m sorry|i am sorry|sorry[,.]|i can(no|')t|i am (unable|not able)|i'?m (unable|not able)|as an ai\b)", re.I
)
_LABEL = re.compile(r"^[^\w\n]*(?:explanation|description)(?:[\]*_]*\s*[:：]|[*_]*\][*_]*)", re.I | re.M)
_HEADING = re.compile(r"[#*_\s]*(?:explanation|description|answer)[*_\s]*:?[*_\s]*", re.I)
_LEAD_IN = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok)[!,.]\s*)?"
    r"(?:here(?:'s|’s| is| are| it is| you are| you go)"
    r"|(?:the|these|all(?: of)?(?: the)?) (?:marked|highlighted|active|following|tokens|words)|based on|what the)\b"
    r"[^:]*:\s*",
    re.I,
)
_ECHO = re.compile(
    r"(?:what )?(?:all (?:of )?)?(?:the |these )?(?:marked|highlighted|active) (?:tokens|words|parts) (?:all )?"
    r"(?:have in common|share)(?: is that| is| are| that| the fact that)?[:,]? +",
    re.I,
)
_QUESTION = re.compile(r"what (?:do|does|is|are)\b.*\?", re.I)
_NOTHING = re.compile(
    r"(?:(?:none|n/a)(?:\s*[(:;–—-].*)?|none of (?:these|them|the above)|nothing|unknown|undetermined|unclear"
    r"|not (?:applicable|clear|known|enough (?:information|context).*)|i (?:don't|do not) know"
    r"|(?:there (?:is|are) )?no (?:common |clear |obvious |single )*"
    r"(?:theme|pattern|connection|meaning|element|feature)s?"
    r"|(?:it )?(?:cannot|can't|can not|could not) be determined"
    r"|(?:unable|impossible|not possible) to (?:determine|tell|say)"
    r"|(?:the |these )?(?:marked )?(?:tokens|words|excerpts) have nothing in common)\W*",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"(?:an? )?(?:short |brief )?(?:description|explanation|label|phrase),? (?:of )?(?:at most|up to) \w+ words\b.*"
    r"|an? (?:short|brief) (?:description|explanation)|description|explanation|at most \w+ words|one line"
    r"|[<\[](?:explanation|description|answer|your\b[^<>\[\]]*|an? (?:short|brief)\b[^<>\[\]]*)[>\]]",
    re.I,
)


def one_line(text: str) -> str:
    """Printable characters on one line, without the emphasis, or the pair of quotes, around all of it."""
    visible = "".join(c for c in text if c.isprintable() or c.isspace())
    line = re.sub(r"^[*_]+\s+|\s+[*_]+$", "", " ".join(visible.split()))
    while (mark := _around(line)) and mark not in line[len(mark) : -len(mark)]:
        line = line[len(mark) : -len(mark)].strip()
    return line


def _around(line: str) -> str:
    """The mark that stands at both ends of a line: emphasis, or a pair of quotes; '' where none does."""
    for mark in ("***", "**", "__", "*"):
        if line.startswith(mark) and line.endswith(mark) and len(line) > 2 * len(mark):
            return mark
    paired = len(line) > 2 and line[0] in _OPENING and line[-1] == _CLOSING[_OPENING.index(line[0])]
    return line[0] if paired and line[-1] not in line[1:-1] else ""


def explanation_in(answer: str, lines: bool = False) -> str | Unscored | Unreadable:
    """The explanation in what a model wrote: the first paragraph that is one, after the last label that begins a line;
    or (`lines`) the first line that is one.

    What it thought before, labels, what leads in and what only repeats the question are left out. Unscored where it
    declines; Unreadable, and to be asked again, where what is left says nothing: no word, "none", a question, a
    placeholder of the prompt's, or more than 500 characters.
    """
    text = without_thoughts(answer)
    if not text and answer.strip():
        return Unreadable("a thought without an answer")
    if not lines and (labels := list(_LABEL.finditer(text))):
        text = text[labels[-1].end() :].strip()
    parts = text.splitlines() if lines else re.split(r"\n\s*\n", text)
    said = next((line for line in map(_said, parts) if line), "")
    if not said:
        return Unreadable("no explanation in the answer")
    if len(said) > LONGEST:
        return TOO_LONG
    if _DECLINED.match(said.replace("’", "'")):
        return Unscored("the model declined")
    if _NOTHING.fullmatch(said.replace("’", "'")):
        return Unreadable("the answer says that there is nothing to say")
    if _QUESTION.fullmatch(said):
        return Unreadable("the answer repeats the question")
    return Unreadable("the answer is the prompt's placeholder") if _PLACEHOLDER.fullmatch(said.rstrip(" .")) else said


def _said(part: str) -> str:
    """One part of an answer on one line, without headings, labels and what leads in; '' where nothing else is in it."""
    line = one_line(" ".join(line for line in part.strip().splitlines() if not _HEADING.fullmatch(line)))
    for leading in (_LABEL, _LEAD_IN, _ECHO):
        if found := leading.match(line):
            line = one_line(line[found.end() :])
    if line.endswith("]") and "[" not in line:  # of a label that was opened there
        line = line[:-1].rstrip()
    return line if any(c.isalnum() for c in line) else ""
