"""Marks on the wrong tokens that nothing but the text can tell from marks on the right ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from scipy.optimize import linear_sum_assignment


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
