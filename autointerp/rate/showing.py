"""What a rater sees of a unit: windows of its contexts over the whole range of its activations, and promoted tokens.

Nothing in it tells the arm but what the unit does. Every unit has as many windows, in the same order; in each the one
token is marked on which the unit is most active there, and the last ones hold none. No activation is shown, neither as
a number nor as a shade nor as a count of tokens: from those alone, sparse units and dense ones were told apart
(`benchmarks/blindness.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

import numpy as np

from autointerp.quoting import visible
from autointerp.records import Context, Exemplar, Kind, Split, Unscored

INTERVALS, PER_INTERVAL, WEAKEST = 4, 2, 2
"""Equal intervals of the range of peaks, windows of each, and windows of contexts in which the unit is weakest."""
_WEAK_SHARE = 0.25
"""Of the held-out random contexts, by their peaks from the lowest: those that the weakest are drawn among."""
_SILENT = 1 / 18
"""Of the unit's highest activation: a context that stays below it is none in which the unit is active."""
PROMOTED = 8
"""Promoted tokens that are shown."""
_BEFORE, _AFTER = (16, 62), (8, 30)
"""Most tokens, and columns of text, before and after the token in the middle: a window is a line of a page."""

TOO_FEW_ACTIVE = Unscored("too few contexts in which it is active")
TOO_FEW_WEAK = Unscored("too few held-out contexts drawn blindly")


@dataclass(frozen=True)
class ShownWindow:
    """Some tokens of one context."""

    pieces: tuple[str, ...]
    strongest: int | None
    """Place of the token on which the unit is most active; None in a context in which it is weakest."""


def windows(
    exemplars: Sequence[Exemplar], contexts: Mapping[int, Context], rng: np.random.Generator
) -> tuple[ShownWindow, ...] | Unscored:
    """Eight windows by falling peak, two out of each quarter of the range, then two in which the unit is weakest.

    The strongest context is always among them. For the rest held-out contexts are taken where an interval has some,
    else those of the evidence; where it has none the nearest peak takes the place, so that every unit has as many.
    `rng` decides between equals, and draws the weakest ones from the lowest quarter of the held-out random contexts.
    Unscored where the contexts do not suffice.
    """
    known = {e.context: e for e in exemplars if e.context in contexts and not e.kind.startswith(Kind.HARD_NEGATIVE)}
    peaks = {context: float(e.activations.max(initial=0.0)) for context, e in known.items()}
    highest = max(peaks.values(), default=0.0)
    strongest = max(peaks, key=lambda c: (peaks[c], -c), default=None)
    held = {e.context for e in exemplars if e.kind == Kind.RANDOM and _held_out(contexts, e.context)} - {strongest}
    weak = _weakest({context: peaks[context] for context in held}, rng)
    if isinstance(weak, Unscored):
        return weak
    active = {c: peak / highest for c, peak in peaks.items() if peak > _SILENT * highest and c not in weak}
    if len(active) < INTERVALS * PER_INTERVAL:
        return TOO_FEW_ACTIVE
    drawn = _over_the_range(active, contexts, rng)
    shown = [_window(contexts[c], int(known[c].activations.argmax()), True) for c in drawn]
    return (*shown, *(_window(contexts[c], int(rng.integers(len(contexts[c].pieces))), False) for c in weak))


def _weakest(peaks: Mapping[int, float], rng: np.random.Generator) -> list[int] | Unscored:
    """Contexts drawn among those of the lowest peaks and all that are tied with them."""
    if len(peaks) < WEAKEST:
        return TOO_FEW_WEAK
    ordered = sorted(peaks.values())
    bound = ordered[max(WEAKEST, int(_WEAK_SHARE * len(ordered))) - 1]
    return [int(c) for c in rng.choice(sorted(c for c in peaks if peaks[c] <= bound), size=WEAKEST, replace=False)]


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


def _window(context: Context, middle: int, marked: bool) -> ShownWindow:
    """Around the token in its middle; of a character whose bytes are several tokens the last, which has its text."""
    middle = next((at for at in range(middle, len(context.pieces)) if context.pieces[at]), middle)
    first = middle - _fitting(context.pieces[:middle][::-1], *_BEFORE)
    last = middle + 1 + _fitting(context.pieces[middle + 1 :], *_AFTER)
    return ShownWindow(tuple(context.pieces[first:last]), middle - first if marked else None)


def _fitting(pieces: Sequence[str], most: int, columns: int) -> int:
    """How many of the first pieces have room."""
    taken = 0
    for piece in pieces[:most]:
        columns -= sum(2 if east_asian_width(c) in "WF" else 1 for c in visible(piece))
        if columns < 0:
            break
        taken += 1
    return taken
