"""Which of a unit's held-out contexts are judged: as many active ones as ones on which it was seen to be silent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.judge.interface import Case, HeldOut
from autointerp.records import Unscored

FEWEST = 2
"""Active and inactive contexts that a unit must have at least."""
TOO_FEW_ACTIVE = Unscored("too few active held-out contexts")
TOO_FEW_INACTIVE = Unscored("too few inactive held-out contexts")
TOO_FEW_HARD = Unscored("too few hard negatives among the held-out contexts")


def draw_contexts(
    case: Case, each: int, negatives: str, rng: np.random.Generator
) -> tuple[list[HeldOut], list[HeldOut]] | Unscored:
    """Draw (active, inactive) contexts of a case: equally many, at most `each`; Unscored with fewer than two of a kind.

    `negatives` as in the study's `judge.negatives`: the inactive ones are `random` contexts that proved silent, `hard`
    negatives, or `mixed`, half hard (rounded down) and half random. A unit that has too few of one sort is judged on
    fewer contexts, in the same proportions: never on other sorts than the other units. The draw depends on the contexts
    and `rng` alone.
    """
    active = [c for c in case.contexts if c.peak > 0]
    silent = [c for c in case.contexts if c.random and c.peak == 0]
    hard = [c for c in case.contexts if c.hard]
    most = {"random": len(silent), "hard": len(hard), "mixed": min(2 * len(silent), 2 * len(hard) + 1)}[negatives]
    count = min(each, len(active), most)
    if count < FEWEST:
        if len(active) < FEWEST:
            return TOO_FEW_ACTIVE
        lacks_silent = len(silent) < (FEWEST if negatives == "random" else 1)
        return TOO_FEW_INACTIVE if negatives != "hard" and lacks_silent else TOO_FEW_HARD
    share = {"random": 0, "hard": count, "mixed": count // 2}[negatives]
    drawn = _draw(active, count, rng)
    return drawn, [*_draw(silent, count - share, rng), *_draw(hard, share, rng)]


def _draw(contexts: Sequence[HeldOut], n: int, rng: np.random.Generator) -> list[HeldOut]:
    return [contexts[int(i)] for i in rng.choice(len(contexts), size=n, replace=False)] if n else []
