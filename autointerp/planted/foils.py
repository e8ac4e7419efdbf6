"""Foils: the other units whose explanations a unit's own one is held against, all that are fit for it.

A foil is of the same half, of the same form (graded or binary) and of another kind, its meaning hardly touches the
unit's, nor the unit's its own, and it is of the same sort: words are held against words, contexts against contexts.
Were contexts held against words, what an explanation predicts of any text whatever (much, or nothing) would tell them
apart: a method that sees no context would be off 0.5 there. Among units of one sort that cancels: if a score is a part
of the unit plus a part of the explanation, the mean over all pairs, each in both directions, is 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from autointerp.artifacts import rng_of
from autointerp.planted.meanings import DESCRIPTION, KINDS, NOISE
from autointerp.planted.rules import Rule

OVERLAP = 0.1
"""Two units are foils of each other when less than this share of either's active tokens is the other's, too."""


@dataclass(frozen=True)
class Foil:
    """Another unit's true explanation."""

    unit: str
    kind: str
    text: str
    """As a description."""
    word_list: str
    """As a list of words; '' where there is none."""
    rule: Rule
    """What a perfect reader of it would predict."""

    def told(self, form: str) -> str:
        """Its words in one of FORMS."""
        return self.text if form == DESCRIPTION else self.word_list


@dataclass(frozen=True)
class FoilTraits:
    """What decides whose foil a unit can be."""

    unit: str
    kind: str
    test: bool
    graded: bool


def admissible(units: Sequence[FoilTraits], covered: Float[np.ndarray, "unit other"]) -> Bool[np.ndarray, "unit other"]:
    """Whether the other one is a foil of the unit. Noise is nobody's foil; every meaning of its half is one of noise.

    `covered`: the share of the unit's active tokens on which the other one is active.
    """
    touching = np.maximum(covered, covered.T)
    found = np.zeros(covered.shape, dtype=bool)
    for place, unit in enumerate(units):
        for other, foil in enumerate(units):
            alike = (unit.test, unit.graded) == (foil.test, foil.graded) and foil.kind not in (unit.kind, NOISE)
            sort = unit.kind == NOISE or KINDS[unit.kind].word_like == KINDS[foil.kind].word_like
            found[place, other] = alike and sort and touching[place, other] < OVERLAP
    return found


def in_drawn_order(unit: str, places: Sequence[int], seed: int) -> list[int]:
    """A unit's foils in an order of its own: who takes the first few takes a random draw."""
    order = rng_of(seed, "planted-other", unit).permutation(len(places))
    return [places[int(place)] for place in order]
