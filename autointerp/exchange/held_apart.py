"""Which published rows of a feature may score its explanations, and what each of them stands for.

Whoever wrote the explanations saw some of the rows, and nobody says which. They are made from rows with large maxima,
so that the rows with the largest count as seen: they are evidence, and never held out; nor is a row that shares text
with one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float

from autointerp.exchange.outgoing import Interval
from autointerp.records import Kind, Split

SEEN = 20
"""Rows that count as seen: Neuronpedia's own tool shows an explainer the ten or twenty with the largest maxima."""
SHARED = 16
"""Tokens in a row that two rows must not have in common where one is seen and the other held out."""
COVERED = 0.95
"""Share of all tokens that intervals must hold together for draws from them to stand for ordinary text."""


@dataclass(frozen=True)
class WindowRow:
    """A row, cut to the length that contexts have."""

    id: str
    pieces: tuple[str, ...]
    values: Float[np.ndarray, " token"]
    interval: Interval | None


@dataclass(frozen=True)
class PlacedRow:
    """What a row is used for."""

    row: int
    """Its place among the feature's rows."""
    split: Split
    kind: str
    share: float | None
    """Of its split, which it stands for; None: it is told otherwise."""
    weight: float = 1.0
    """How many contexts it stands for, where no share is told."""


def held_apart(rows: Sequence[WindowRow], seen: int, tops: int, bands: bool, left_out: Counter[str]) -> list[PlacedRow]:
    """Share a feature's rows out. `seen`: how many count as seen; `tops`: held-out rows that are there for their
    maximum; `bands`: whether draws from intervals are wanted by themselves too.

    In the order in which a run has them: evidence, then held-out ones, top before quantile bands before random.
    """
    order = sorted(range(len(rows)), key=lambda place: -float(rows[place].values.max()))
    shown, rest = order[:seen], order[seen:]
    told = {run for place in shown for run in _runs(rows[place].pieces)}
    texts = set[tuple[str, ...]](rows[place].pieces for place in shown)
    held: list[int] = []
    for place in rest:
        if rows[place].pieces in texts or not told.isdisjoint(_runs(rows[place].pieces)):
            left_out[f"activations: shares {SHARED} tokens in a row with one that counts as seen"] += 1
        else:
            held.append(place)
    placed = [PlacedRow(place, Split.EVIDENCE, Kind.TOP, None) for place in shown]
    placed += [PlacedRow(place, Split.HELD_OUT, Kind.TOP, None) for place in _distinct(rows, held)[:tops]]
    intervals = _intervals(rows, held)
    if bands:
        placed += _bands(intervals)
    return [*placed, *_blind(intervals)]


def _runs(pieces: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every run of SHARED tokens, those of one and the same token (padding) aside."""
    for first in range(len(pieces) - SHARED + 1):
        run = pieces[first : first + SHARED]
        if len(set(run)) > 1:
            yield run


def _distinct(rows: Sequence[WindowRow], places: Sequence[int]) -> list[int]:
    """The first row of every text."""
    first: dict[tuple[str, ...], int] = {}
    for place in places:
        first.setdefault(rows[place].pieces, place)
    return list(first.values())


def _intervals(rows: Sequence[WindowRow], held: Sequence[int]) -> list[tuple[float, list[int]]]:
    """The share of every interval that a held-out row was drawn from, the lowest first, and its rows as published."""
    drawn = sorted((interval, place) for place in held if (interval := rows[place].interval) is not None)
    return [
        (interval[2], sorted(_distinct(rows, [place for _, place in of_interval])))
        for interval, of_interval in groupby(drawn, key=lambda found: found[0])
    ]


def _bands(intervals: Sequence[tuple[float, list[int]]]) -> Iterator[PlacedRow]:
    for band, (share, places) in enumerate(intervals):
        for place in places:
            yield PlacedRow(place, Split.HELD_OUT, f"{Kind.QUANTILE}-{band}", share / len(places))


def _blind(intervals: Sequence[tuple[float, list[int]]]) -> list[PlacedRow]:
    """As many draws as can be had of every interval in proportion to its share of tokens: nearly a blind draw of text.

    None where the intervals leave out more than 5% of the tokens, which are those on which the feature is silent.
    """
    covered = sum(share for share, _ in intervals)
    if covered < COVERED:
        return []
    total = min(len(places) * covered / share for share, places in intervals if share > 0)
    chosen = [place for share, places in intervals for place in places[: round(total * share / covered)]]
    return [PlacedRow(place, Split.HELD_OUT, Kind.RANDOM, 1 / len(chosen)) for place in chosen]
