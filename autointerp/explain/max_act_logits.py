"""`max-act-logits`: a label of a few words, from the words of greatest activation and the tokens that are promoted."""

from __future__ import annotations

import numpy as np

from autointerp.explain.interface import ExplainSettings, Proposal, Shown, draws
from autointerp.explain.texts import explanation_in, peak_words
from autointerp.llm.request import Unreadable
from autointerp.quoting import quoted
from autointerp.records import Kind, Unscored

WORDS_SHOWN = 10
"""Words of greatest activation that the model reads at most."""
MOST_WORDS = 6
"""Words that a label may have."""


class MaxActLogits:
    """Shows the words under the peaks of the top contexts and the promoted tokens, and asks `n` times."""

    name = "max-act-logits"
    needs_model = True
    sees_effects = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("max-act-logits/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` draws of one request; Unscored without output effects, or when no peak is on a printable word."""
        if isinstance(shown.effects, Unscored):
            return [shown.effects]
        words = peak_words(shown.of_kind(Kind.TOP))[:WORDS_SHOWN]
        if not words:
            return [Unscored("no word among its top tokens")]
        messages = self._prompt.render(
            words=[quoted(word) for word in words], promoted=[quoted(token) for token in shown.effects.promoted]
        )
        return draws(self.name, self._prompt, messages, self._llm, n, rng, parse_label)


def parse_label(text: str) -> str | Unscored | Unreadable:
    """The explanation in the answer; Unreadable, and asked for again, when it has more than six words."""
    label = explanation_in(text)
    if not isinstance(label, str):
        return label
    label = label.rstrip(" .")
    return label if len(label.split()) <= MOST_WORDS else Unreadable("the label has too many words")
