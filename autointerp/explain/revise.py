"""`revise`: a first explanation, tried by the simulator on further evidence, is shown what it got wrong and rewritten.

The first explanation is another explainer's. What it is tried on is evidence that this explainer was not shown; the
explain stage tries it, and keeps the better of both (`explain.revising`). This module turns predictions into
mistakes, and mistakes into the question for a revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from autointerp.explain.highlight import Highlight, marked
from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext, draws
from autointerp.explain.texts import explanation_in
from autointerp.quoting import quoted
from autointerp.records import Unscored

CONTEXTS = 5
"""Missed contexts, and false ones, that the model reads at most."""
LEAST = 0.3
"""A mistake: true and predicted activation differ by more than this share of their maxima."""


@dataclass(frozen=True)
class Mistakes:
    """What an explanation gets wrong. Activations stand for sizes of mistakes, as shares of the maximum."""

    missed: tuple[ShownContext, ...]
    """Contexts with tokens on which the unit is more active than predicted, the worst first."""
    false_alarms: tuple[ShownContext, ...]
    """Contexts with tokens on which activity is predicted and the unit is silent, the worst first."""


def mistakes(
    contexts: Sequence[ShownContext], predicted: Float[np.ndarray, "context token"], maximum: float
) -> Mistakes:
    """Where predictions of any scale are wrong about `contexts`; `maximum` is the unit's over the evidence.

    Truth is taken as a share of `maximum`, a prediction as a share of the highest prediction, so that no scale has to
    be fitted; a simulator that predicts nothing above 0 misses everything.
    """
    highest = float(predicted.max(initial=0.0))
    missed, false_alarms = [], []
    for context, row in zip(contexts, predicted, strict=True):
        truth = context.activations / maximum if maximum > 0 else np.zeros_like(context.activations)
        told = np.maximum(row, 0.0) / highest if highest > 0 else np.zeros_like(truth)
        missed.append(_mistaken(context, np.where(context.activations > 0, truth - told, 0.0)))
        false_alarms.append(_mistaken(context, np.where(context.activations > 0, 0.0, told)))
    return Mistakes(_worst(missed), _worst(false_alarms))


def _mistaken(context: ShownContext, sizes: Float[np.ndarray, " token"]) -> ShownContext:
    return replace(context, activations=np.where(sizes > LEAST, sizes, 0.0))


def _worst(contexts: Sequence[ShownContext]) -> tuple[ShownContext, ...]:
    return tuple(sorted((c for c in contexts if c.peak > 0), key=lambda c: -c.peak)[:CONTEXTS])


class Revise:
    """Proposes another explainer's explanations, and asks for a revision of each."""

    name = "revise"
    needs_model = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("revise/v1")
        self._llm = settings.llm
        self._first = settings.first or Highlight(replace(settings, prompt=None))

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """The first explanations: those of the other explainer, under this one's name."""
        proposals = self._first.propose(shown, n, rng)
        return [p if isinstance(p, Unscored) else replace(p, explainer=self.name) for p in proposals]

    def revision(self, first: str, wrong: Mistakes, rng: np.random.Generator) -> Proposal:
        """The question for a better explanation than `first`; Unscored when it makes no mistake that is shown."""
        if not wrong.missed and not wrong.false_alarms:
            return Unscored("the first explanation makes no mistake to show")
        messages = self._prompt.render(
            explanation=quoted(first),
            missed=[marked(context) for context in wrong.missed],
            false_alarms=[marked(context) for context in wrong.false_alarms],
        )
        return draws(self.name, self._prompt, messages, self._llm, 1, rng, explanation_in)[0]
