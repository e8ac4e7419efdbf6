"""Texts of explanations: the words that a unit is active on, and what a language model wrote, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autointerp.contexts.naming import word_of as word_of  # other packages import it from here
from autointerp.explain.interface import ShownContext
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
_OPENING, _CLOSING = "\"'`“‘«", "\"'`”’»"
_DECLINED = re.compile(
    r"(i'?m sorry|i am sorry|sorry[,.]|i can(no|')t|i am (unable|not able)|i'?m (unable|not able)|as an ai\b)", re.I
)
_THOUGHT = re.compile(r"<(think|thinking|thought|thoughts|reasoning)>.*?(</\1>|\Z)", re.I | re.S)
_THOUGHT_ENDS = re.compile(r".*</(?:think|thinking|thought|thoughts|reasoning)>", re.I | re.S)
_LABEL = re.compile(
    r"\[explanation\][*_]*:?|\bexplanation[\]*_\"]*\s*:|^[^\w\n]*(?:description|answer|label)[*_\"]*\s*:", re.I | re.M
)
_COURTESY = re.compile(r"(?:sure|certainly|of course|okay|ok)(?:!|[,.:](?= (?:here|the|i)\b)) *", re.I)
_SUBJECT = r"(?:all (?:of )?)?(?:the )?(?:marked|highlighted|active|given|listed) (?:tokens?|words?|parts?)"
_ECHO = re.compile(
    rf"(?:what )?{_SUBJECT} (?:all )?(?:ha(?:ve|s) in common|share)(?: (?:is|are|that|the fact that))?[:,]? +(?=\S)",
    re.I,
)
_NOTHING = re.compile(
    r"(none|nothing|n/?a|null|unknown|undetermined|unclear|not (?:applicable|clear|known)"
    r"|no (?:common|clear) (?:theme|pattern|feature|element|thing|meaning|property)\b.*"
    r"|(?:unable|impossible|not possible) to (?:determine|tell|say)\b.*)\W*",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"(<[^<>]*>|\[[^\[\]]*\]|an? (?:short|brief) (?:description|explanation|label|phrase)\b.{0,40}"
    r"|a label of at most .{0,20}|(?:short |brief )?(?:description|explanation)|at most \w+ words)\W*",
    re.I,
)


def one_line(text: str) -> str:
    """Printable characters on one line, without emphasis, or a pair of quotes, around all of it."""
    visible = "".join(c for c in text if c.isprintable() or c.isspace())
    line = " ".join(visible.split()).strip("*_ ")
    while len(line) > 1 and line[0] in _OPENING and line[-1] == _CLOSING[_OPENING.index(line[0])]:
        if line[0] in line[1:-1] or line[-1] in line[1:-1]:
            break
        line = line[1:-1].strip("*_ ")
    return line


def without_thoughts(answer: str) -> str:
    """What a model wrote after it had thought; '' where it only thought. Some servers leave the closing mark alone."""
    return _THOUGHT_ENDS.sub("", _THOUGHT.sub("", answer)).strip()


def explanation_in(answer: str, lines: bool = False) -> str | Unscored | Unreadable:
    """The explanation in what a model wrote: its first paragraph (`lines`: its first line) that is one.

    What it thought before, its label, what leads in and what only repeats the question are left out. Unscored where it
    declines; Unreadable, and to be asked again, where what is left names nothing: no word, "none", a placeholder of
    the prompt's, or more than 500 characters.
    """
    text = without_thoughts(answer)
    if not text and answer.strip():
        return Unreadable("a thought without an answer")
    labels = list(_LABEL.finditer(text))
    rest = text[labels[-1].end() :].strip() if labels else text
    parts = rest.splitlines() if lines else re.split(r"\n\s*\n", rest)
    said = next((line for line in map(_said, parts) if line), "")
    if not said:
        return Unreadable("no explanation in the answer")
    if len(said) > LONGEST:
        return Unreadable("the answer is too long for an explanation")
    if _DECLINED.match(said.replace("’", "'")):
        return Unscored("the model declined")
    if _NOTHING.fullmatch(said):
        return Unreadable("the answer says that there is nothing to say")
    return Unreadable("the answer is the prompt's placeholder") if _PLACEHOLDER.fullmatch(said) else said


def _said(part: str) -> str:
    """One part of an answer on one line, without what leads in; '' where nothing else is in it."""
    kept = [line for line in part.strip().splitlines() if not line.rstrip("*_ ").endswith(":")]
    line = one_line(" ".join(kept))
    line = one_line(_ECHO.sub("", line[found.end() :] if (found := _COURTESY.match(line)) else line, count=1))
    return line if any(c.isalnum() for c in line) else ""
