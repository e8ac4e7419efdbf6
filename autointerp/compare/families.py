"""Families of tests: which questions are adjusted for one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from autointerp.between_rows import BetweenRunsRow
from autointerp.judge.promoted_tokens import PromotedLiteral
from autointerp.metrics.intervals import FEW, holm
from autointerp.records import Pairing
from autointerp.rows import (
    ALL,
    OUTSIDE,
    OWN_SHUFFLED,
    PRIMARY,
    READ_LITERALLY,
    SECONDARY,
    TOKEN_TABLE,
    Cell,
    ComparisonRow,
)
from autointerp.simulate.literal import LITERAL, LITERAL_WORDS
from autointerp.simulate.lookup import LOOKUP

_CONTROLS = (LOOKUP, LITERAL, LITERAL_WORDS, PromotedLiteral.name)


def family_of(row: ComparisonRow, headline: Cell, asked: Mapping[str, str | None]) -> str:
    """The family of a row with a test; '' for one without.

    `asked` gives the arm that each feature arm is held against. Primary: that question in the headline's cell.
    Outside, and not adjusted: own against shuffled and against the token table, the table itself, literal readings by
    themselves and within strata, and strata in which an arm has fewer than 10 units. Secondary: all else of one scorer
    and metric.
    """
    if row.p is None:
        return ""
    if row.baseline in (OWN_SHUFFLED, TOKEN_TABLE) or (row.scorer in _CONTROLS and row.scorer != headline.scorer):
        return OUTSIDE
    if row.stratum != ALL and row.baseline == READ_LITERALLY:
        return OUTSIDE
    if row.stratum != ALL and min(row.n, row.n_baseline or 0) < FEW:
        return OUTSIDE
    first = row.cell == headline and row.pairing == Pairing.OWN and asked.get(row.arm) == row.baseline
    return PRIMARY if first else SECONDARY


def in_families(rows: Iterable[ComparisonRow], headline: Cell, asked: Mapping[str, str | None]) -> list[ComparisonRow]:
    """The rows with `family`, and `p_holm` and `p_equivalent_holm` adjusted within it (Holm 1979).

    A secondary family is of one scorer and metric; rows outside any have no adjusted p.
    """
    named = [replace(row, family=family_of(row, headline, asked)) for row in rows]

    def within(row: ComparisonRow) -> tuple[str, ...] | None:
        if row.family == PRIMARY:
            return (PRIMARY,)
        return (SECONDARY, row.scorer, row.metric) if row.family == SECONDARY else None

    return adjusted(named, within)


Tested = TypeVar("Tested", ComparisonRow, BetweenRunsRow)


def adjusted(rows: Sequence[Tested], within: Callable[[Tested], tuple[str, ...] | None]) -> list[Tested]:
    """The rows, p-values adjusted (Holm 1979) over the rows of the same `within`; where that is None there is none."""
    families = defaultdict[tuple[str, ...], list[int]](list)
    for place, row in enumerate(rows):
        if (family := within(row)) is not None:
            families[family].append(place)
    found = [replace(row, p_holm=None, p_equivalent_holm=None) for row in rows]
    for places in families.values():
        different = holm([rows[place].p for place in places])
        equivalent = holm([rows[place].p_equivalent for place in places])
        for place, p, same in zip(places, different, equivalent, strict=True):
            found[place] = replace(found[place], p_holm=p, p_equivalent_holm=same)
    return found
