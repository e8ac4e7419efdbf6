"""`detection`: is the unit active anywhere in this context? (Paulo et al. 2024; prompt and code are our own.)

As many active contexts as inactive ones, in small batches. An inactive context is one on which the unit has been seen
to be silent, drawn blindly or, where the study says so, a hard negative: a random context taken for inactive unseen
would count against dense units.
"""

from __future__ import annotations

import numpy as np

from autointerp.judge.interface import Case, Item, Items, JudgeSettings, Traits
from autointerp.judge.items import draw_contexts
from autointerp.judge.requests import Requests, in_batches
from autointerp.quoting import quoted
from autointerp.records import Unscored


class Detection:
    """Shows an explanation and up to five contexts, without marks, and asks for a 0 or a 1 for each."""

    name = "detection"
    traits = Traits()

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._requests = Requests(settings, "detection/v1")
        self.prompt = self._requests.prompt
        """`name@hash`."""
        self._each, self._negatives = settings.examples // 2, settings.negatives

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """At most `examples` contexts, half of them active, in random order; Unscored with fewer than two of a kind."""
        found = draw_contexts(case, self._each, self._negatives, rng)
        if isinstance(found, Unscored):
            return found
        drawn = [*found[0], *found[1]]
        # One shuffle over all: neither the place in a batch nor the rest of the batch tells what a context is.
        order = [drawn[int(i)] for i in rng.permutation(len(drawn))]
        texts = [quoted(c.context.text) for c in order]
        items = [Item(c.context.context, position, c.peak > 0) for position, c in enumerate(order)]
        return [
            self._requests.yes_no(case.explanation, [texts[p] for p in part], [items[p] for p in part])
            for part in in_batches(len(items))
        ]
