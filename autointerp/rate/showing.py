"""What a rater sees of a unit: windows of its contexts over the whole range of its activations, and promoted tokens.

Nothing in it tells the arm but what the unit does: every unit has as many windows, in the same order, activations are
steps of the unit's own highest, and there is no index, sign, hook, density or scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

import numpy as np
from jaxtyping import Float, Int

from autointerp.quoting import visible
from autointerp.records import Context, Exemplar, Kind, Split, Unscored

INTERVALS, PER_INTERVAL, BLIND = 4, 2, 2
"""Equal intervals of the range of peaks, windows of each, and windows of contexts that were drawn blindly."""
STEPS = 9
"""Of activation: 0 to 9, the last is the unit's highest."""
PROMOTED = 8
"""Promoted tokens that are shown."""
_BEFORE, _AFTER = (16, 62), (8, 30)
"""Most tokens, and columns of text, before and after the token in the middle: a window is a line of a page."""

TOO_FEW_ACTIVE = Unscored("too few contexts in which it is active")
TOO_FEW_BLIND = Unscored("too few held-out contexts drawn blindly")


@dataclass(frozen=True)
class ShownWindow:
    """Some tokens of one context."""

    peak: int
    """Highest activation of the whole context, 0 to 9, the unit's highest being 9."""
    blind: bool
    """DrawnItems blindly, whatever the unit does in it."""
    pieces: tuple[str, ...]
    levels: tuple[int, ...]
    """One per piece, 0 to 9."""


def windows(
    exemplars: Sequence[Exemplar], contexts: Mapping[int, Context], rng: np.random.Generator
) -> tuple[ShownWindow, ...] | Unscored:
    """Eight windows by falling peak, two out of each quarter of the range, then two blind ones.

    The strongest context is always among them. For the rest held-out contexts are taken where an interval has some,
    else those of the evidence; where it has none the nearest peak takes the place, so that every unit has as many.
    `rng` decides between equals, and draws the blind ones among held-out random contexts. Unscored where the contexts
    do not suffice.
    """
    known = {e.context: e for e in exemplars if e.context in contexts and not e.kind.startswith(Kind.HARD_NEGATIVE)}
    highest = max((float(e.activations.max(initial=0.0)) for e in known.values()), default=0.0)
    held = [e for e in exemplars if e.kind == Kind.RANDOM and _held_out(contexts, e.context)]
    strongest = max(known, key=lambda c: (float(known[c].activations.max(initial=0.0)), -c), default=None)
    pool = sorted({e.context for e in held} - {strongest})
    if len(pool) < BLIND:
        return TOO_FEW_BLIND
    blind = [int(c) for c in rng.choice(pool, size=BLIND, replace=False)]
    active = {c: float(e.activations.max()) / highest for c, e in known.items() if highest > 0 and c not in blind}
    active = {c: peak for c, peak in active.items() if round(STEPS * peak) > 0}
    if len(active) < INTERVALS * PER_INTERVAL:
        return TOO_FEW_ACTIVE
    drawn = _over_the_range(active, contexts, rng)
    shown = [_window(contexts[c], known[c].activations / highest, False, rng) for c in drawn]
    return (*shown, *(_window(contexts[c], known[c].activations / (highest or 1.0), True, rng) for c in blind))


def _held_out(contexts: Mapping[int, Context], context: int) -> bool:
    return context in contexts and contexts[context].split == Split.HELD_OUT


def _over_the_range(peaks: dict[int, float], contexts: Mapping[int, Context], rng: np.random.Generator) -> list[int]:
    """Contexts by falling peak: of each quarter, from the top, two that lie in it, or as near to it as there are."""
    order = {c: place for place, c in enumerate(rng.permutation(sorted(peaks)).tolist())}
    left, drawn = dict(peaks), []
    for interval in reversed(range(INTERVALS)):
        low, high = interval / INTERVALS, (interval + 1) / INTERVALS

        def rank(context: int, low: float = low, high: float = high) -> tuple[float, bool, int]:
            peak = left[context]
            outside = max(low - peak, peak - high, 0.0)
            second = peak < 1 and not _held_out(contexts, context)
            return outside, second, order[context] if peak < 1 else -1

        for context in sorted(left, key=rank)[:PER_INTERVAL]:
            drawn.append(context)
            del left[context]
    return sorted(drawn, key=lambda context: (-peaks[context], order[context]))


def _window(
    context: Context, shares: Float[np.ndarray, " token"], blind: bool, rng: np.random.Generator
) -> ShownWindow:
    """Around the highest activation; where there is none, around a token that `rng` draws."""
    levels = steps(shares)
    middle = int(shares.argmax()) if levels.any() else int(rng.integers(len(context.pieces)))
    first = middle - _fitting(context.pieces[:middle][::-1], *_BEFORE)
    last = middle + 1 + _fitting(context.pieces[middle + 1 :], *_AFTER)
    return ShownWindow(int(levels.max()), blind, tuple(context.pieces[first:last]), tuple(levels[first:last].tolist()))


def steps(shares: Float[np.ndarray, " token"]) -> Int[np.ndarray, " token"]:
    """Shares of the highest activation, in [0, 1], as 0 to 9."""
    found: Int[np.ndarray, " token"] = np.clip(np.rint(STEPS * shares), 0, STEPS).astype(np.int64)
    return found


def _fitting(pieces: Sequence[str], most: int, columns: int) -> int:
    """How many of the first pieces have room."""
    taken = 0
    for piece in pieces[:most]:
        columns -= sum(2 if east_asian_width(c) in "WF" else 1 for c in visible(piece))
        if columns < 0:
            break
        taken += 1
    return taken
