"""`surprisal`: does the explanation make the unit's active contexts likelier? (after Paulo et al. 2024; all our own.)

Of each context: the mean over its tokens of log P(token | explanation, text before) - log P(token | a neutral one, text
before), in nats. Its logistic function is reported as a probability. It is none: no explanation makes a text so likely
that 0.5 would be a border, and only the order of the contexts counts.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from autointerp.errors import BadInput
from autointerp.judge.interface import Case, Item, Judgement, JudgeSettings, Traits
from autointerp.judge.items import draw_contexts
from autointerp.llm.capabilities import Needs
from autointerp.progress import Bar
from autointerp.prompting import load_prompt
from autointerp.records import Simulation, Unscored
from autointerp.simulate.interface import Simulator, Task


class Surprisal:
    """Reads the text of each context twice, under the explanation and under one that says nothing."""

    name = "surprisal"
    traits = Traits(asks=False, needs=Needs(prompt_logprobs=1), metrics=("auroc",))

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded, or is no completion."""
        self._prompt = load_prompt(settings.prompt or "surprisal/v1", settings.prompts_folder)
        if self._prompt.form != "completion":
            raise BadInput(
                f"prompt '{self._prompt.name}' has form '{self._prompt.form}'", "judge 'surprisal' needs a completion"
            )
        self.prompt = self._prompt.identity
        """`name@hash`."""
        self._each, self._negatives = settings.examples // 2, settings.negatives
        self._settings = settings

    def judge(self, case: Case, rng: np.random.Generator) -> list[Judgement] | Unscored:
        """At most `examples` contexts, active ones first; Unscored with fewer than two of a kind."""
        from autointerp.simulate.lift_in_context import NEUTRAL

        found = draw_contexts(case, self._each, self._negatives, rng)
        if isinstance(found, Unscored):
            return found
        held = [*found[0], *found[1]]
        tasks = [Task(text, (c.context,)) for text in (case.explanation, NEUTRAL) for c in held]
        read = dict(self._likelihood().simulate(tasks, Bar()))
        return [
            Judgement(Item(c.context.context, position, c.peak > 0), _gain(read[position], read[len(held) + position]))
            for position, c in enumerate(held)
        ]

    def _likelihood(self) -> Simulator:
        """What `lift-in-context` reads too: log-probabilities of every token of a context."""
        from autointerp.simulate.lift_in_context import TextLikelihood, TokenLikelihood

        tools = self._settings.tools
        if tools.model is not None:
            return TokenLikelihood(tools.model, self._prompt, False, tools.ledger)
        if tools.asker is None:
            raise ValueError("judge 'surprisal' was made without a model")
        return TextLikelihood(tools.asker, self._prompt, self._settings.llm.model, self._settings.seed)


def _gain(told: Simulation | Unscored, neutral: Simulation | Unscored) -> float | Unscored:
    """Logistic function of the gain in nats per token."""
    if isinstance(told, Unscored):
        return told
    if isinstance(neutral, Unscored):
        return neutral
    return float(expit(float(told.predicted.mean(dtype=np.float64) - neutral.predicted.mean(dtype=np.float64))))
