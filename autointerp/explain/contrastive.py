"""`contrastive`: contexts in which the unit is active, against contexts that resemble them and leave it silent.

The silent ones are its hard negatives, where the study gathers them, then random evidence contexts that hold the most
of its strongest words. Its true activations on all of them are known: nothing is taken for silent unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.contexts.naming import word_of
from autointerp.explain.highlight import marked_examples
from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext, draws
from autointerp.explain.texts import explanation_in, top_words
from autointerp.quoting import quoted
from autointerp.records import Kind, Unscored

SILENT = 8
"""Silent contexts shown at most."""
_WORDS = 12
"""Strongest words that make a silent context resemble the active ones."""


class Contrastive:
    """Shows top and quantile contexts, then hard negatives and look-alikes, and asks `n` times."""

    name = "contrastive"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("contrastive/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` draws of one request; Unscored when no active, or no silent, context may be shown."""
        active = shown.active()
        silent = [*shown.of_kind(Kind.HARD_NEGATIVE), *look_alikes(shown, active)][:SILENT]
        if not active or not silent:
            return [Unscored("no active context to show" if not active else "no silent context to show")]
        messages = self._prompt.render(
            active=marked_examples(active, shown.max_activation),
            silent=[quoted("".join(c.pieces)) for c in silent],
        )
        return draws(self.name, self._prompt, messages, self._llm, n, rng, explanation_in)


def look_alikes(shown: Shown, active: Sequence[ShownContext]) -> list[ShownContext]:
    """Random contexts on which the unit is silent, those with most of its strongest words first."""
    words = set(top_words(active, _WORDS))
    silent = [c for c in shown.of_kind(Kind.RANDOM) if c.peak == 0]
    return sorted(silent, key=lambda c: -len(words & {word_of(piece) for piece in c.pieces}))[:SILENT]
