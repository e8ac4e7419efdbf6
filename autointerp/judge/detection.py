"""`detection`: is the unit active anywhere in this context? (Paulo et al. 2024; prompt and code are our own.)

As many active contexts as inactive ones, in small batches. An inactive context is one of the unit's random held-out
contexts on which the unit has been seen to be silent: a random context taken for inactive unseen would count against
dense units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil

import numpy as np

from autointerp.judge.base import Batch, Case, HeldOut, Item, Settings
from autointerp.judge.yes_no import read_yes_no
from autointerp.llm.request import Question, Request
from autointerp.prompting import load_prompt
from autointerp.quoting import quoted
from autointerp.records import Unscored

BATCH = 5
"""Contexts per request at most."""
FEWEST = 2
"""Active and inactive contexts that a unit must have at least."""
TOP_LOGPROBS = 5
"""Alternatives per answer token: "0", "1" and their spellings with a space are among them."""
TOO_FEW_ACTIVE = Unscored("too few active held-out contexts")
TOO_FEW_INACTIVE = Unscored("too few inactive held-out contexts")


class Detection:
    """Shows an explanation and up to five contexts, without marks, and asks for a 0 or a 1 for each."""

    name = "detection"

    def __init__(self, settings: Settings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = load_prompt(settings.prompt or "detection/v1", settings.prompts_folder)
        self.prompt = self._prompt.identity
        """`name@hash`."""
        self._model, self._seed = settings.llm.model, settings.seed
        self._each = settings.examples // 2
        offered = settings.capabilities.top_logprobs if settings.capabilities is not None else 0
        self._top_logprobs = min(TOP_LOGPROBS, offered)

    def batches(self, case: Case, rng: np.random.Generator) -> list[Batch] | Unscored:
        """At most `examples` contexts, half of them active, in random order; Unscored with fewer than two of a kind."""
        active = [c for c in case.contexts if c.peak > 0]
        inactive = [c for c in case.contexts if c.random and c.peak == 0]
        each = min(self._each, len(active), len(inactive))
        if each < FEWEST:
            return TOO_FEW_ACTIVE if len(active) < FEWEST else TOO_FEW_INACTIVE
        drawn = [*_draw(active, each, rng), *_draw(inactive, each, rng)]
        # One shuffle over all: neither the place in a batch nor the rest of the batch tells what a context is.
        order = [drawn[int(i)] for i in rng.permutation(len(drawn))]
        places = np.array_split(np.arange(len(order)), ceil(len(order) / BATCH))
        return [self._batch(case.explanation, order, [int(p) for p in of_batch]) for of_batch in places]

    def _batch(self, explanation: str, order: Sequence[HeldOut], places: Sequence[int]) -> Batch:
        contexts = [order[place] for place in places]
        request = Request(
            messages=self._prompt.render(
                explanation=quoted(explanation), excerpts=[quoted(c.context.text) for c in contexts]
            ),
            model=self._model,
            max_tokens=answer_tokens(len(contexts)),
            temperature=0.0,
            seed=self._seed,
            top_logprobs=self._top_logprobs,
            json_object=True,
        )
        items = tuple(Item(c.context.context, p, c.peak > 0) for c, p in zip(contexts, places, strict=True))
        return Batch(items, Question(request, partial(read_yes_no, count=len(items))))


def answer_tokens(count: int) -> int:
    """Tokens that an answer of `count` values may take: laid out over lines, and inside a code fence."""
    return 32 + 6 * count


def _draw(contexts: Sequence[HeldOut], n: int, rng: np.random.Generator) -> list[HeldOut]:
    return [contexts[int(i)] for i in rng.choice(len(contexts), size=n, replace=False)]
