"""`before`: names the words that stand before the tokens on which a unit is active."""

from __future__ import annotations

import numpy as np

from autointerp.explain.interface import ExplainSettings, Proposal, Shown
from autointerp.explain.texts import word_of
from autointerp.records import Candidate, Kind, Unscored

AFTER = "a token after words such as "
"""How its explanations begin."""


class Before:
    """For units that go by what came last: the words before the active tokens, those of the strongest first."""

    name = "before"
    needs_model = False

    def __init__(self, settings: ExplainSettings) -> None:
        del settings  # asks no model, has no prompt

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Lists of 1, 2, ... words, `n` at most; Unscored when no active token has a word before it."""
        sums: dict[str, float] = {}
        for context in shown.of_kind(Kind.TOP):
            for before, activation in zip(context.pieces, context.activations[1:].tolist(), strict=False):
                if activation > 0 and (word := word_of(before)):
                    sums[word] = sums.get(word, 0.0) + activation
        words = sorted(sums, key=lambda word: (-sums[word], word))
        if not words:
            return [Unscored("no word before its top tokens")]
        return [Candidate(AFTER + ", ".join(words[:count]), self.name) for count in range(1, min(n, len(words)) + 1)]
