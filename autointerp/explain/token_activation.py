"""`token-activation`: the language model reads every token of the strongest contexts beside its activation, 0 to 10.

The protocol is that of Bills et al. 2023; the prompt and the code are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import numpy as np

from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext, draws
from autointerp.explain.texts import explanation_in
from autointerp.llm.request import Unreadable
from autointerp.quoting import cell
from autointerp.records import Kind, Unscored

CONTEXTS = 5
"""Shown at most, strongest first, as in Bills et al."""
FEW = 0.2
"""Share of tokens that are not 0 under which these are shown a second time."""
_STEPS = 10


class TokenActivation:
    """Shows (token, activation) pairs of the strongest contexts, and asks `n` times."""

    name = "token-activation"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("token-activation/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` draws of one request; Unscored when the unit is silent in all contexts that may be shown."""
        contexts = [c for c in shown.of_kind(Kind.TOP) if c.peak > 0][:CONTEXTS]
        if not contexts:
            return [Unscored("no active context to show")]
        messages = self._prompt.render(**pairs(contexts, shown.max_activation))
        return draws(self.name, self._prompt, messages, self._llm, n, rng, parse_phrase)


def pairs(contexts: Sequence[ShownContext], maximum: float) -> dict[str, Any]:
    """The tokens of each context with their values, and those that are not 0 once more where they are few."""
    excerpts = [
        [{"text": cell(p), "value": display(a, maximum)} for p, a in zip(c.pieces, c.activations.tolist(), strict=True)]
        for c in contexts
    ]
    every = [token for tokens in excerpts for token in tokens]
    active = [token for token in every if token["value"]]
    return {"excerpts": excerpts, "repeated": active if len(active) < FEW * len(every) else []}


def display(activation: float, maximum: float, highest: int = _STEPS) -> int:
    """An activation in tenths of the unit's maximum over the evidence, `highest` (10 or 9) at most (Bills et al.)."""
    return min(highest, floor(_STEPS * max(activation, 0.0) / maximum)) if maximum > 0 else 0


def parse_phrase(text: str) -> str | Unscored | Unreadable:
    """The first line of the answer that says something, without a full stop at its end."""
    said = explanation_in(text, lines=True)
    return said.rstrip(" .") if isinstance(said, str) else said
