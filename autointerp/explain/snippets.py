"""`snippets`, `short-snippets`: pieces of text around what is marked, and the words that are, for models too small for
`highlight`.

A small instruct model loses a mark in a long excerpt, answers in prose around the answer, and repeats whatever sentence
ends its prompt. So it sees few tokens around each peak and the strongest words once more, answers worked examples in
turns, and fills in a JSON object; the explanation is its description and the words that it chose: `names of countries,
such as "France", "Italy"`. `short-snippets` shows less still: of more text a model of 0.1 billion parameters writes no
better. The prompts and the code are our own; what they reach with which model is in docs/methods.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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


@dataclass(frozen=True)
class Sizes:
    """How much is shown and asked for."""

    contexts: int
    """Shown at most, strongest first."""
    before: int
    after: int
    """Tokens shown before and after the peak."""
    words_shown: int
    """Words of greatest summed activation that stand below the excerpts."""
    words_kept: int
    """Words that an explanation names at most."""
    answer_tokens: int
    """Of an answer at least, whatever the study says: it is JSON, and longer than a phrase."""

    @property
    def schema(self) -> str:
        """Of an answer."""
        words = {"type": "array", "items": {"type": "string"}, "maxItems": self.words_kept}
        return answer_object({_DESCRIPTION: {"type": "string"}, _WORDS: words})


_DESCRIPTION, _WORDS = "description", "words"
LONG, SHORT = Sizes(10, 10, 4, 8, 6, 128), Sizes(4, 4, 2, 6, 4, 64)
_SUCH_AS = re.compile(r",?\s*\bsuch as\b.*", re.I | re.S)
_QUOTES = frozenset('"“”«»`')


_DRAWS = 2
"""Answers to one prompt. Of one that is asked again a model in the process reads nothing anew, and the better of two
answers to one prompt is no worse than that of answers to two (docs/methods.md)."""


class Snippets:
    """Asks each prompt twice; the first one shows the strongest active contexts, each further one others."""

    name = "snippets"
    needs_model = True
    sizes = LONG

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load(f"{self.name}/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` requests; Unscored when the unit is silent in all contexts that may be shown."""
        active = shown.active()
        if not active:
            return [Unscored("no active context to show")]
        seed = int(rng.integers(2**31))
        parse = partial(described, words_kept=self.sizes.words_kept)
        proposals: list[Proposal] = []
        messages = self._messages(active)
        for sample in range(n):
            if sample and sample % _DRAWS == 0:
                others = np.sort(rng.permutation(len(active))[: self.sizes.contexts])
                messages = self._messages([active[place] for place in others.tolist()])
            request = Request(
                messages,
                self._llm.model,
                max(self._llm.max_tokens, self.sizes.answer_tokens),
                self._llm.temperature,
                seed,
                sample=sample,
                json_object=True,
                schema=self.sizes.schema,
            )
            proposals.append(PromptedCandidate(request, self.name, self._prompt.identity, parse))
        return proposals

    def _messages(self, active: Sequence[ShownContext]) -> tuple[tuple[str, str], ...]:
        """Show as many of these as fit."""
        return self._prompt.render(**snippets(active[: self.sizes.contexts], self.sizes))


class ShortSnippets(Snippets):
    """The same with few and shorter excerpts."""

    name = "short-snippets"
    sizes = SHORT


def snippets(contexts: Sequence[ShownContext], sizes: Sizes = LONG) -> dict[str, Any]:
    """What the prompt says: the piece of each context around its peak, with marks, and the strongest words."""
    return {
        "excerpts": [_around_peak(context, sizes) for context in contexts],
        "words": [unmarked(word).translate(STAND_INS) for word in top_words(contexts, sizes.words_shown)],
    }


def _around_peak(context: ShownContext, sizes: Sizes) -> str:
    peak = int(context.activations.argmax())
    part = slice(max(0, peak - sizes.before), peak + 1 + sizes.after)
    return with_marks(context.pieces[part], strongly_active(context.activations)[part])


def described(answer: str, words_kept: int = LONG.words_kept) -> str | Unscored | Unreadable:
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
    named = ", ".join(f'"{word}"' for word in kept[:words_kept])
    if named:
        description = f"{_SUCH_AS.sub('', description).rstrip(' .,;:')}, such as {named}"
    elif is_list(description):
        return Unreadable("a list of words in place of a description")
    return description.rstrip(" .") if len(description) <= LONGEST else TOO_LONG
