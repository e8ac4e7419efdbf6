"""`intervals`: short examples out of every interval of activation, random ones, and top tokens in other contexts.

After the explainer of Towards Monosemanticity (Bricken et al. 2023): 49 examples, of which 10 are of the top interval,
2 of each of 12 further intervals, 5 random and 10 "top token in another context", with interval labels, activations
from 0 to 9, and the tokens that the unit promotes and suppresses. The prompt and the code are our own; an example is
9 tokens long, as the ones that the same paper simulates.

Intervals are cut from the evidence that the explainer may see, into equal numbers of contexts: the 10 strongest active
contexts are the top interval, the others in the order of their peaks make 12 intervals, and 2 are drawn from each.
Where there are fewer contexts there are fewer examples, and none is made up. The default `[evidence]` shows 12 top, 8
band and 12 random contexts: 10 examples of the top interval, 10 of the others, 5 random ones, and of the other random
contexts those that hold a top token and leave the unit silent. All 49 take

    [evidence]
    top = 20                # every other one is shown
    quantiles = 12
    per_quantile = 2        # all are shown
    random = 10             # every other one is shown
    hard_negatives = 20     # of each sort; every other one is shown

and a unit that is active in enough contexts to fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autointerp.contexts.naming import word_of
from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext, draws
from autointerp.explain.texts import explanation_in, peak_words
from autointerp.explain.token_activation import display
from autointerp.quoting import cell, quoted
from autointerp.records import Kind, Unscored

TOP, OTHERS, PER_INTERVAL, RANDOM, ELSEWHERE = 10, 12, 2, 5, 10
"""Examples of the top interval; other intervals, and examples of each; random examples; top tokens elsewhere."""
TOKENS = 9
"""Of an example."""
_HIGHEST = 9


class Intervals:
    """Shows up to 49 examples and the output effects, and asks `n` times."""

    name = "intervals"
    needs_model = True
    sees_effects = True

    def __init__(self, settings: ExplainSettings) -> None:
        """Raises BadInput when the prompt can't be loaded."""
        self._prompt = settings.load("intervals/v1")
        self._llm = settings.llm

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` draws of one request; Unscored without output effects, or when no active context may be shown."""
        if isinstance(shown.effects, Unscored):
            return [shown.effects]
        groups = examples(shown, rng)
        if not groups:
            return [Unscored("no active context to show")]
        messages = self._prompt.render(
            groups=groups,
            promoted=[quoted(token) for token in shown.effects.promoted],
            suppressed=[quoted(token) for token in shown.effects.suppressed],
        )
        return draws(self.name, self._prompt, messages, self._llm, n, rng, explanation_in)


def examples(shown: Shown, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The labelled groups of examples, strongest interval first; empty when no active context may be shown.

    An example is a list of tokens, each with its text and its value from 0 to 9. Where an interval has more contexts
    than are wanted, `rng` draws; it also places the windows of random examples.
    """
    active = shown.active()
    if not active:
        return []
    top, rest = active[:TOP], active[TOP:]
    groups = [_interval("Top interval", top, shown.max_activation)]
    intervals = min(OTHERS, len(rest))
    for number in range(intervals):
        part = np.arange(len(rest) * number // intervals, len(rest) * (number + 1) // intervals)
        drawn = sorted(rng.choice(part, size=min(PER_INTERVAL, len(part)), replace=False).tolist())
        label = f"Interval {intervals - number} of {intervals}"
        groups.append(_interval(label, [rest[i] for i in drawn], shown.max_activation))
    words = set(peak_words(active))
    elsewhere = _elsewhere(shown, words)
    blind = [c for c in shown.of_kind(Kind.RANDOM) if all(c is not taken for taken in elsewhere)][:RANDOM]
    windows = [_window(c, int(rng.integers(len(c.pieces))), shown.max_activation) for c in blind]
    silent = [_window(c, _first_of(c, words), shown.max_activation) for c in elsewhere]
    named = (("Random", windows), ("Top token in another context", silent))
    return [*groups, *({"label": label, "examples": found} for label, found in named if found)]


def _interval(label: str, contexts: Sequence[ShownContext], maximum: float) -> dict[str, Any]:
    peaks = [display(c.peak, maximum, _HIGHEST) for c in contexts]
    span = f"peak {max(peaks)}" if min(peaks) == max(peaks) else f"peaks {min(peaks)} to {max(peaks)}"
    windows = [_window(c, int(c.activations.argmax()), maximum) for c in contexts]
    return {"label": f"{label} ({span})", "examples": windows}


def _elsewhere(shown: Shown, words: set[str]) -> list[ShownContext]:
    """Contexts that hold one of the words and leave the unit silent: hard negatives, then random ones.

    Of the random contexts as many are left over as are shown as random.
    """
    randoms = [c for c in shown.of_kind(Kind.RANDOM) if c.peak == 0 and _holds(c, words)]
    spare = max(len(shown.of_kind(Kind.RANDOM)) - RANDOM, 0)
    hard = [c for c in shown.of_kind(Kind.HARD_NEGATIVE) if _holds(c, words)]
    return [*hard, *randoms[:spare]][:ELSEWHERE]


def _holds(context: ShownContext, words: set[str]) -> bool:
    return any(word_of(piece) in words for piece in context.pieces)


def _first_of(context: ShownContext, words: set[str]) -> int:
    return next(position for position, piece in enumerate(context.pieces) if word_of(piece) in words)


def _window(context: ShownContext, centre: int, maximum: float) -> list[dict[str, Any]]:
    """Nine tokens around a place, all of them inside the context."""
    start = max(0, min(centre - TOKENS // 2, len(context.pieces) - TOKENS))
    stop = start + TOKENS
    tokens = zip(context.pieces[start:stop], context.activations[start:stop].tolist(), strict=True)
    return [{"text": cell(piece), "value": display(a, maximum, _HIGHEST)} for piece, a in tokens]
