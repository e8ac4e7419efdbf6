"""`one-context`: is the unit active anywhere in this context? One context per request, so none leans on another."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from autointerp.judge.interface import Case, HeldOut, Item, Items, JudgeSettings
from autointerp.judge.verdicts import read_yes_no
from autointerp.llm.request import Question, Request
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted
from autointerp.records import Unscored

_PROMPTS = Path(__file__).parent / "prompts"
_ANSWER_TOKENS = 38


class OneContext:
    """As many active contexts as inactive ones, each with a request of its own."""

    name = "one-context"

    def __init__(self, settings: JudgeSettings) -> None:
        self._prompt = load_prompt(settings.prompt or "one-context/v1", settings.prompts_folder or _PROMPTS)
        self.prompt = self._prompt.identity
        self._model, self._seed, self._each = settings.llm.model, settings.seed, settings.examples // 2

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """Unscored when the unit has no active, or no inactive, held-out context."""
        active = [c for c in case.contexts if c.peak > 0]
        inactive = [c for c in case.contexts if c.random and c.peak == 0]
        each = min(self._each, len(active), len(inactive))
        if not each:
            return Unscored("no active held-out context" if not active else "no inactive held-out context")
        drawn = [kind[int(i)] for kind in (active, inactive) for i in rng.choice(len(kind), size=each, replace=False)]
        order = [drawn[int(i)] for i in rng.permutation(len(drawn))]
        return [self._batch(case.explanation, context, place) for place, context in enumerate(order)]

    def _batch(self, explanation: str, held: HeldOut, place: int) -> Items:
        request = Request(
            messages=self._prompt.render(explanation=quoted(explanation), excerpt=quoted(held.context.text)),
            model=self._model,
            max_tokens=_ANSWER_TOKENS,
            temperature=0.0,
            seed=self._seed,
            json_object=True,
        )
        item = Item(held.context.context, place, held.peak > 0)
        return Items((item,), Question(request, partial(read_yes_no, count=1)))
