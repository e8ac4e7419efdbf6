"""`snippets`: short pieces of text around what is marked, and the words that are, for models too small for `highlight`.

A small instruct model loses a mark in a long excerpt, answers in prose around the answer, and repeats whatever sentence
ends its prompt. So it sees few tokens around each peak and the strongest words once more, answers worked examples in
turns, and fills in a JSON object; the explanation is its description and the words that it chose: `names of countries,
such as "France", "Italy"`. The prompt and the code are our own; what it reaches with which model is in
docs/methods.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.contexts.naming import LONGEST_WORD, is_list, word_of
from autointerp.explain.highlight import STAND_INS, strongly_active, with_marks
from autointerp.explain.interface import ExplainSettings, PromptedCandidate, Proposal, Shown, ShownContext
from autointerp.explain.texts import LONGEST, TOO_LONG, explanation_in, top_words
from autointerp.llm.answers.json import answer_object, read_json_object
from autointerp.llm.request import Request, Unreadable
from autointerp.quoting import unmarked
from autointerp.records import Unscored

CONTEXTS = 10
"""Shown at most, strongest first."""
BEFORE, AFTER = 10, 4
"""Tokens shown before and after the peak."""
WORDS_SHOWN = 8
"""Words of greatest summed activation that stand below the excerpts."""
WORDS_KEPT = 6
"""Words that an explanation names at most."""
_DESCRIPTION, _WORDS = "description", "words"
_SCHEMA = answer_object(
    {_DESCRIPTION: {"type": "string"}, _WORDS: {"type": "array", "items": {"type": "string"}, "maxItems": WORDS_KEPT}}
)
_LEAST_TOKENS = 128
"""Of an answer, whatever the study says: it is JSON, and longer than a phrase."""
_SUCH_AS = re.compile(r",?\s*\bsuch as\b.*", re.I | re.S)
_QUOTES = frozenset('"“”«»`')


class Snippets:
    """Asks with other active contexts each time; the first request sees the strongest."""

    name = "snippets"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("snippets/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` requests; Unscored when the unit is silent in all contexts that may be shown."""
        active = shown.active()
        if not active:
            return [Unscored("no active context to show")]
        seed = int(rng.integers(2**31))
        proposals: list[Proposal] = []
        for sample in range(n):
            places = np.arange(len(active))
            if sample:
                places = np.sort(rng.permutation(len(active))[:CONTEXTS])
            messages = self._prompt.render(**snippets([active[int(place)] for place in places[:CONTEXTS]]))
            request = Request(
                messages,
                self._llm.model,
                max(self._llm.max_tokens, _LEAST_TOKENS),
                self._llm.temperature,
                seed,
                sample=sample,
                json_object=True,
                schema=_SCHEMA,
            )
            proposals.append(PromptedCandidate(request, self.name, self._prompt.identity, described))
        return proposals


def snippets(contexts: Sequence[ShownContext]) -> dict[str, Any]:
    """What the prompt says: the piece of each context around its peak, with marks, and the strongest words."""
    return {
        "excerpts": [_around_peak(context) for context in contexts],
        "words": [unmarked(word).translate(STAND_INS) for word in top_words(contexts, WORDS_SHOWN)],
    }


def _around_peak(context: ShownContext) -> str:
    peak = int(context.activations.argmax())
    part = slice(max(0, peak - BEFORE), peak + 1 + AFTER)
    return with_marks(context.pieces[part], strongly_active(context.activations)[part])


def described(answer: str) -> str | Unscored | Unreadable:
    """`a description, such as "a word", "another"`, out of the JSON object of an answer.

    Unreadable, and asked again, without such an object, or where its description says nothing (`explanation_in`).
    Words that no reader could find in a text, since they are long or hold a quote, are left out; the description's own
    "such as" gives way to them.
    """
    found = read_json_object(answer)
    if isinstance(found, Unreadable):
        return found
    told, words = found.get(_DESCRIPTION), found.get(_WORDS, [])
    if not isinstance(told, str) or not isinstance(words, list):
        return Unreadable("no description in the answer's JSON")
    description = explanation_in(told)
    if not isinstance(description, str):
        return description
    short = (word for word in words if isinstance(word, str) and len(word.strip()) <= LONGEST_WORD)
    kept = [word for word in dict.fromkeys(map(word_of, short)) if word and not _QUOTES & set(word)]
    named = ", ".join(f'"{word}"' for word in kept[:WORDS_KEPT])
    if named:
        description = f"{_SUCH_AS.sub('', description).rstrip(' .,;:')}, such as {named}"
    elif is_list(description):
        return Unreadable("a list of words in place of a description")
    return description.rstrip(" .") if len(description) <= LONGEST else TOO_LONG
