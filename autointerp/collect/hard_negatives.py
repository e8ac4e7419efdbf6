"""Hard negatives: contexts that resemble those in which a unit is active, and on which it was seen to be silent.

Of three sorts: `token`, a top token of the unit stands there without the unit; `co-active`, units that are often active
together with it are active; `nearest`, the sentence vector is near that of one of its top contexts. What a unit
resembles is learned on the evidence, also for the hard negatives of the held-out split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from autointerp.collect.gather import Gatherer
from autointerp.contexts.reading import load_contexts, read_contexts
from autointerp.progress import bar
from autointerp.records import Context, Kind, Split

SORTS = ("token", "co-active", "nearest")
"""In the order in which a context that is of several is given to one."""
CO_ACTIVE = 8
"""Units that count as often active together with one, at most: those that share the most of their contexts with it."""
_CHUNK = 512
_DIGITS = 6
"""To which scores are told apart: the order of two contexts must not depend on how a sum was rounded."""

Embed: TypeAlias = Callable[[Sequence[str]], Float[np.ndarray, "text dimension"]]
"""Texts to vectors of length 1."""
_Scores: TypeAlias = Float[np.ndarray, "unit context"]
"""How much each context resembles those of each unit; 0 or less: not at all."""


@dataclass(frozen=True)
class Likeness:
    """What the contexts have in common in which each unit of an arm is active."""

    tokens: Int[np.ndarray, "unit rank"]
    """Token ids under the peaks of its top contexts, each once, the commonest first; -1 where there are no more."""
    partners: Float[np.ndarray, "unit unit"]
    """Overlap with its most co-active other units; 0 for all the others."""
    tops: Int[np.ndarray, "unit rank"]
    """Ids of its top contexts; -1 where there are no more."""


def likeness_of(gatherer: Gatherer) -> Likeness:
    """What the units of an arm resemble, after a pass over the evidence."""
    tops, peak_tokens = gatherer.top_contexts, gatherer.top_tokens
    tokens = np.full_like(peak_tokens, -1)
    for row, of_unit in zip(tokens, peak_tokens, strict=True):
        found, first, counts = np.unique(of_unit[of_unit >= 0], return_index=True, return_counts=True)
        row[: len(found)] = found[np.lexsort((first, -counts))]
    names = np.array(gatherer.names)
    others = np.where(names[:, None] != names[None, :], gatherer.activity.overlap(), 0.0)  # orientations are one unit
    ranked = np.argsort(-others, axis=1, kind="stable")[:, :CO_ACTIVE]
    partners = np.zeros_like(others)
    np.put_along_axis(partners, ranked, np.take_along_axis(others, ranked, axis=1), axis=1)
    return Likeness(tokens, partners, tops)


class HardNegatives:
    """Finds the hard negatives of all arms, in one reading of a split. No context's text is embedded twice.

    Memory: that of the units' top contexts' vectors, and a fixed number of contexts.
    """

    def __init__(self, arms: Sequence[Likeness], contexts: Path, embed: Embed) -> None:
        """`contexts` is the table; `embed` is asked for the units' top contexts at once."""
        self._arms, self._contexts, self._embed = arms, contexts, embed
        ids = np.unique(np.concatenate([arm.tops.ravel() for arm in arms]))
        self._tops = ids[ids >= 0]
        texts = load_contexts(contexts, self._tops.tolist())
        vectors = embed([texts[int(i)].text for i in self._tops])
        self._vectors = np.concatenate([vectors, np.zeros_like(vectors[:1])])  # the last row is near to nothing
        self._places = [np.where(arm.tops >= 0, np.searchsorted(self._tops, arm.tops), len(self._tops)) for arm in arms]

    def find(self, gatherers: Sequence[Gatherer], split: Split, each: int) -> None:
        """Give each of the arms' gatherers, after its pass over `split`, up to `each` contexts of each sort per unit.

        Never one on which the unit is active, or that was drawn for it at random; a context is of one sort only.
        """
        kept = [[_Best(len(g.names), each * (place + 1)) for place in range(len(SORTS))] for g in gatherers]
        total = gatherers[0].population
        with bar(f"hard negatives, {split}", total, "contexts") as progress:
            first = 0
            for contexts in read_contexts(self._contexts, split, _CHUNK):
                last = first + len(contexts)
                self._take(gatherers, contexts, first, last, kept)
                first = last
                progress.advance(len(contexts))
        for gatherer, sorts in zip(gatherers, kept, strict=True):
            gatherer.keep_hard_negatives([_in_turn(sorts, unit, each) for unit in range(len(gatherer.names))])

    def _take(
        self,
        gatherers: Sequence[Gatherer],
        contexts: Sequence[Context],
        first: int,
        last: int,
        kept: Sequence[Sequence[_Best]],
    ) -> None:
        ids = np.array([c.context for c in contexts], dtype=np.int64)
        tokens = np.stack([c.tokens for c in contexts])
        similarity = self._embedded(contexts) @ self._vectors.T
        for gatherer, arm, places, sorts in zip(gatherers, self._arms, self._places, kept, strict=True):
            active = gatherer.activity.rows(first, last)
            allowed = ~(active | gatherer.drawn_at_random(ids)).T
            priorities = gatherer.priorities(ids)
            by_sort: tuple[_Scores, ...] = (
                _token_scores(arm.tokens, tokens),
                arm.partners @ active.T,
                similarity[:, places].max(axis=2).T.astype(np.float64),
            )
            for scores, best in zip(by_sort, sorts, strict=True):
                best.add(np.where(allowed, scores.round(_DIGITS), 0.0), priorities, ids)

    def _embedded(self, contexts: Sequence[Context]) -> Float[np.ndarray, "context dimension"]:
        ids = np.array([c.context for c in contexts])
        known = np.isin(ids, self._tops)
        vectors = np.empty((len(contexts), self._vectors.shape[1]), dtype=self._vectors.dtype)
        vectors[known] = self._vectors[np.searchsorted(self._tops, ids[known])]
        if not known.all():
            vectors[~known] = self._embed([c.text for c, old in zip(contexts, known, strict=True) if not old])
        return vectors


def _token_scores(wanted: Int[np.ndarray, "unit rank"], tokens: Int[np.ndarray, "context token"]) -> _Scores:
    """Higher for a context that holds a token further up in the unit's list; 0 when it holds none of them."""
    distinct = np.unique(wanted)
    place = np.searchsorted(distinct, tokens).clip(max=len(distinct) - 1)
    rows, columns = np.nonzero(distinct[place] == tokens)
    present = np.zeros((len(tokens), len(distinct)), dtype=bool)
    present[rows, place[rows, columns]] = True
    held = present[:, np.searchsorted(distinct, wanted)]
    return np.asarray(np.where(held.any(axis=2), wanted.shape[1] - held.argmax(axis=2), 0).T, dtype=np.float64)


class _Best:
    """The contexts with the highest scores above 0 of each unit; equal ones in the order of their priorities."""

    def __init__(self, units: int, size: int) -> None:
        self._size = size
        self._scores = np.zeros((units, 0))
        self._priorities = np.zeros((units, 0), dtype=np.int64)
        self._contexts = np.zeros((units, 0), dtype=np.int64)

    def add(
        self, scores: _Scores, priorities: Int[np.ndarray, "unit context"], contexts: Int[np.ndarray, " context"]
    ) -> None:
        every = np.concatenate([self._scores, scores], axis=1)
        priorities = np.concatenate([self._priorities, priorities], axis=1)
        rows = np.broadcast_to(contexts, scores.shape)
        order = np.lexsort((priorities, -every), axis=1)[:, : self._size]
        self._scores = np.take_along_axis(every, order, axis=1)
        self._priorities = np.take_along_axis(priorities, order, axis=1)
        self._contexts = np.take_along_axis(np.concatenate([self._contexts, rows], axis=1), order, axis=1)

    def of(self, unit: int) -> list[int]:
        """Ids of contexts, best first."""
        return [int(c) for c in self._contexts[unit][self._scores[unit] > 0]]


def _in_turn(sorts: Sequence[_Best], unit: int, each: int) -> list[tuple[str, int]]:
    """(kind, context) of each sort in turn: whoever takes the first few, or every other one, has some of every sort."""
    taken: set[int] = set()
    chosen: list[list[tuple[str, int]]] = []
    for sort, best in zip(SORTS, sorts, strict=True):
        fresh = [c for c in best.of(unit) if c not in taken][:each]
        taken.update(fresh)
        chosen.append([(f"{Kind.HARD_NEGATIVE}-{sort}", c) for c in fresh])
    return [pair for turn in zip_longest(*chosen) for pair in turn if pair is not None]
