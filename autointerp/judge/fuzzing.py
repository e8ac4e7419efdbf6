"""`fuzzing`: are the marked tokens the ones on which the unit is active? (Paulo et al. 2024; prompt and code our own.)

Every context is shown twice, in two requests: once with its own active tokens marked, once with the marks of another
active context, all of which fall on tokens on which the unit has been seen to be silent. Wrong marks are thus as many,
as long and in the same places as right ones; Delphi draws them anew, and theirs can be told by their places alone.

What is left beside the explanation is the text: right marks stand on tokens that are alike. That is what the unit
scores with another unit's explanation, too, so the score is read beside that one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy.optimize import linear_sum_assignment

from autointerp.explain.highlight import OPEN, strongly_active, with_marks
from autointerp.judge.interface import Case, HeldOut, Item, Items, JudgeSettings, Traits
from autointerp.judge.items import FEWEST, TOO_FEW_ACTIVE
from autointerp.judge.requests import Requests, in_batches
from autointerp.records import Unscored


def exchange(
    marked: Bool[np.ndarray, "context token"],
    free: Bool[np.ndarray, "context token"],
    most: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Pairs (context, the one whose marks it gets), at most `most`, in which contexts hand their marks around.

    Every context in the result gives its marks away once and gets others once. So the marks of the wrong items are,
    pattern by pattern, those of the right items: no rule on number and places of marks tells them apart. Two contexts
    may exchange only where the marks of *each* fall on `free` tokens (silent, with a text) of the other: then who gives
    to whom is as likely as the reverse, and what is in one request tells nothing either. Contexts that can exchange
    with none are left out.
    """
    clash = marked.astype(np.int64) @ (~free).T.astype(np.int64)
    fits = (clash == 0) & (clash.T == 0)
    order = [int(c) for c in rng.permutation(len(marked))]
    chosen, waiting = order[:most], order[most:]
    while True:
        givers = _assigned(fits[np.ix_(chosen, chosen)], rng)
        pairs = [(context, chosen[giver]) for context, giver in zip(chosen, givers, strict=True)]
        kept = [(context, giver) for context, giver in pairs if giver != context]
        if len(kept) == len(pairs) or not waiting:
            return kept
        room = most - len(kept)
        chosen, waiting = [*(context for context, _ in kept), *waiting[:room]], waiting[room:]


def _assigned(fits: Bool[np.ndarray, "context context"], rng: np.random.Generator) -> Sequence[int]:
    """A random permutation along pairs that fit, with as few contexts that keep their own as there can be."""
    count = len(fits)
    costs = np.where(fits, rng.random(fits.shape), float((count + 1) ** 2))
    costs[np.arange(count), np.arange(count)] = count + 1.0
    _, givers = linear_sum_assignment(costs)
    return [int(giver) for giver in givers]


NO_EXCHANGE = Unscored("no silent tokens where its other contexts are active")


class Fuzzing:
    """Shows an explanation and up to five contexts with marks, and asks for a 0 or a 1 for each."""

    name = "fuzzing"
    traits = Traits()

    def __init__(self, settings: JudgeSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._requests = Requests(settings, "fuzzing/v1")
        self.prompt = self._requests.prompt
        """`name@hash`."""
        self._most = settings.examples // 2

    def batches(self, case: Case, rng: np.random.Generator) -> list[Items] | Unscored:
        """At most `examples` // 2 contexts, each once with right and once with wrong marks.

        Unscored for a unit with fewer than two contexts that can exchange their marks: one that is active in the same
        places of all contexts, or nearly everywhere.
        """
        active = [c for c in case.contexts if c.peak > 0 and _all_seen(c)]
        if len(active) < FEWEST:
            return TOO_FEW_ACTIVE
        marked = np.stack([strongly_active(c.activations) for c in active])
        free = np.stack([(c.activations == 0) & np.array([piece != "" for piece in c.context.pieces]) for c in active])
        pairs = exchange(marked, free, self._most, rng)
        if not pairs:
            return NO_EXCHANGE
        own = rng.random(len(pairs)) < 0.5
        first = self._round(case.explanation, active, pairs, own, 0, rng)
        return [*first, *self._round(case.explanation, active, pairs, ~own, len(pairs), rng)]

    def _round(
        self,
        explanation: str,
        active: Sequence[HeldOut],
        pairs: Sequence[tuple[int, int]],
        own: Bool[np.ndarray, " pair"],
        shown: int,
        rng: np.random.Generator,
    ) -> list[Items]:
        """Every context once, in random order; `own`: with its own marks. `shown`: items before."""
        order = [int(place) for place in rng.permutation(len(pairs))]
        excerpts: list[str] = []
        items: list[Item] = []
        for place in order:
            context, giver = pairs[place]
            right = bool(own[place])
            marks = strongly_active(active[context if right else giver].activations)
            excerpts.append(with_marks(active[context].context.pieces, marks))
            items.append(Item(active[context].context.context, shown + len(items), right))
        return [
            self._requests.yes_no(explanation, [excerpts[p] for p in part], [items[p] for p in part])
            for part in in_batches(len(items))
        ]


def _all_seen(held: HeldOut) -> bool:
    """Whether every run of marks holds text: where a token is a part of a character, one may hold none."""
    marks = strongly_active(held.activations)
    runs = int((np.diff(marks.astype(np.int8), prepend=0) == 1).sum())
    return with_marks(held.context.pieces, marks).count(OPEN) == runs
