"""`exemplars`: "words such as w1, ..., wn". No language model is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np

from autointerp.contexts.naming import LIST, word_of
from autointerp.explain.interface import ExplainSettings, Proposal, Shown, ShownContext
from autointerp.explain.texts import top_words
from autointerp.records import Candidate, Kind, Unscored

COUNTS = (3, 6, 12)
"""How many words a candidate names."""
SHARES = (1.0, 2 / 3, 1 / 3)
"""Over which share of the top contexts, the strongest first."""
_DRAWS_PER_CANDIDATE = 50


class Exemplars:
    """Names the top tokens over all, two thirds and one third of the top contexts, then over random ones of them.

    A unit with one or two words has few such lists. It then gets lists of its words beside a few stray ones of its
    random contexts, so that every unit has as many candidates as any other.
    """

    name = "exemplars"
    needs_model = False

    def __init__(self, settings: ExplainSettings) -> None:
        del settings  # asks no model, has no prompt

    def propose(self, shown: Shown, n: int, rng: np.random.Generator) -> list[Proposal]:
        """`n` different candidates, or as many as can be had; Unscored when no active token has a printable word."""
        contexts = shown.of_kind(Kind.TOP)
        texts: dict[str, None] = {}
        for words in chain(_lists(contexts, n, rng), _with_strays(shown, n, rng)):
            if words and len(texts) < n:
                texts.setdefault(LIST + ", ".join(words))
            if len(texts) == n:
                break
        if not texts:
            return [Unscored("no word among its top tokens")]
        return [Candidate(text, self.name) for text in texts]


def _lists(contexts: tuple[ShownContext, ...], n: int, rng: np.random.Generator) -> Iterator[list[str]]:
    for share in SHARES:
        for count in COUNTS:
            yield top_words(contexts[: math.ceil(share * len(contexts))], count)
    if not contexts:
        return
    for _ in range(n * _DRAWS_PER_CANDIDATE):
        size = int(rng.integers(1, len(contexts) + 1))
        drawn = rng.choice(len(contexts), size=size, replace=False)
        yield top_words([contexts[int(i)] for i in drawn], int(rng.choice(COUNTS)))


def _with_strays(shown: Shown, n: int, rng: np.random.Generator) -> Iterator[list[str]]:
    own = top_words(shown.of_kind(Kind.TOP) + shown.of_kind(Kind.QUANTILE), COUNTS[-1])
    met = {word_of(piece) for context in shown.of_kind(Kind.RANDOM) for piece in context.pieces}
    strays = sorted(met - set(own) - {""})
    if not own or not strays:
        return
    for _ in range(n * _DRAWS_PER_CANDIDATE):
        kept = own[: int(rng.integers(1, len(own) + 1))]
        added = rng.choice(len(strays), size=min(int(rng.integers(1, COUNTS[0] + 1)), len(strays)), replace=False)
        yield [*kept, *(strays[int(i)] for i in added)]
