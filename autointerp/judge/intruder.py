"""`intruder`: which of five contexts does not belong? (Paulo et al. 2024; prompt and code are our own.)

Four contexts in which the unit is active, and one on which it has been seen to be silent, none of them marked. No
explanation is shown: what can't be told here is a unit without a theme, and not an explanation that is badly written.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from autointerp.judge.interface import Case, HeldOut, Item, Items, JudgeSettings, Traits
from autointerp.judge.items import TOO_FEW_ACTIVE, TOO_FEW_HARD, TOO_FEW_INACTIVE, draw_contexts
from autointerp.judge.requests import Requests
from autointerp.judge.verdicts import INTRUDER, read_choice
from autointerp.llm.answers.json import answer_object, between
from autointerp.llm.request import Question
from autointerp.quoting import quoted
from autointerp.records import Unscored

SHOWN = 5
"""Contexts of a trial."""
TOP_LOGPROBS = 10
"""Alternatives per answer token: five numbers, and their spellings with a space."""
_ANSWER_TOKENS = 32
"""For {"intruder": 3}, inside a code fence."""


class Intruder:
    """Shows five contexts and asks for the number of the one that does not belong."""

    name = "intruder"
    traits = Traits(needs_explanation=False, metrics=("accuracy", "balanced_accuracy", "auroc"), share=1 / SHOWN)

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._requests = Requests(settings, "intruder/v1", TOP_LOGPROBS)
        self.prompt = self._requests.prompt
        """`name@hash`."""
        self._each, self._negatives = max(settings.examples // 2, SHOWN - 1), settings.negatives

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """A trial for each of up to `examples` // 2 silent contexts, among as many active ones.

        Unscored with fewer than four of a kind.
        """
        found = draw_contexts(case, self._each, self._negatives, rng)
        if isinstance(found, Unscored):
            return found
        active, silent = found
        if len(active) < SHOWN - 1:
            if sum(c.peak > 0 for c in case.contexts) < SHOWN - 1:
                return TOO_FEW_ACTIVE
            return TOO_FEW_INACTIVE if self._negatives == "random" else TOO_FEW_HARD
        return [self._trial(active, intruder, number, rng) for number, intruder in enumerate(silent)]

    def _trial(self, active: Sequence[HeldOut], intruder: HeldOut, number: int, rng: np.random.Generator) -> Items:
        others = [active[int(i)] for i in rng.choice(len(active), size=SHOWN - 1, replace=False)]
        place = int(rng.integers(SHOWN))
        contexts = [*others[:place], intruder, *others[place:]]
        schema = answer_object({INTRUDER: between(1, SHOWN)})
        request = self._requests.request(_ANSWER_TOKENS, schema, excerpts=[quoted(c.context.text) for c in contexts])
        items = tuple(Item(c.context.context, number * SHOWN + p, p == place) for p, c in enumerate(contexts))
        return Items(items, Question(request, partial(read_choice, count=SHOWN)))
