"""`phrase`: the language model says in a few words what the unit's top words have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from autointerp.explain.interface import ExplainSettings, PromptedCandidate, Proposal, Shown
from autointerp.explain.texts import explanation_in, one_line, top_words
from autointerp.llm.request import Request, Unreadable
from autointerp.quoting import unmarked
from autointerp.records import Kind, Unscored

WORDS_SHOWN = 8
"""Words in the list that the model reads."""
MOST_WORDS = 12
"""Words that a phrase may have."""
_MAX_TOKENS = 20


class Phrase:
    """Asks with another random part of the top contexts each time; the first request sees them all."""

    name = "phrase"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("phrase/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` requests; Unscored when no active token has a printable word."""
        contexts = shown.of_kind(Kind.TOP)
        if not top_words(contexts, 1):
            return [Unscored("no word among its top tokens")]
        seed = int(rng.integers(2**31))
        proposals: list[Proposal] = []
        for sample in range(n):
            size = len(contexts) if sample == 0 else int(rng.integers((len(contexts) + 1) // 2, len(contexts) + 1))
            drawn = rng.choice(len(contexts), size=size, replace=False)
            words = top_words([contexts[int(i)] for i in drawn], WORDS_SHOWN) or top_words(contexts, WORDS_SHOWN)
            request = Request(
                messages=self._prompt.render(words=", ".join(unmarked(word) for word in words)),
                model=self._llm.model,
                max_tokens=min(_MAX_TOKENS, self._llm.max_tokens),
                temperature=self._llm.temperature,
                seed=seed,
                stop=("\n",),
                sample=sample,
            )
            parse = partial(parse_new_phrase, words=words)
            proposals.append(PromptedCandidate(request, self.name, self._prompt.identity, parse))
        return proposals


def parse_new_phrase(text: str, words: Sequence[str]) -> str | Unscored | Unreadable:
    """The first line of an answer that says something; Unscored when it has too many words, or only repeats those that
    it was shown."""
    found = explanation_in(text, lines=True)
    if not isinstance(found, str):
        return found
    phrase = one_line(found.rstrip(" ."))
    said = [one_line(word).strip(",;:.").casefold() for word in phrase.split()]
    if len(said) > MOST_WORDS:
        return Unscored("the phrase is too long")
    shown = {part.casefold() for word in words for part in (word, *word.split())}
    if all(word in shown for word in said if word and word not in ("and", "or")):
        return Unscored("the answer only repeats the words it was shown")
    return phrase
