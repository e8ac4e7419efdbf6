"""What a method scores: a planted unit beside one of its explanations, or alone where the method reads none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autointerp.planted.units import TRUE, WRONG, PlantedUnit
from autointerp.records import Context

NONE = "none"
"""In place of an explanation, where the method reads none."""
EXPLANATIONS = (TRUE, *WRONG)
"""Every sort of explanation, in the order of the tables."""


@dataclass(frozen=True)
class PlantedPairing:
    """One unit and one explanation."""

    unit: PlantedUnit
    explanation: str
    """Its sort: one of EXPLANATIONS, or NONE."""

    @property
    def text(self) -> str:
        """What the method is told; '' for NONE."""
        return "" if self.explanation == NONE else self.unit.explanations[self.explanation]

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The contexts of the slice top-and-random, in its order."""
        known: Mapping[int, Context] = {held.context.context: held.context for held in self.unit.held_out}
        return tuple(known[int(number)] for number in self.unit.held.contexts)


def pairings_of(units: Sequence[PlantedUnit], explained: bool) -> list[PlantedPairing]:
    """Every unit with each of its explanations; each once with NONE for a method that reads none."""
    if not explained:
        return [PlantedPairing(unit, NONE) for unit in units]
    return [PlantedPairing(unit, sort) for unit in units for sort in EXPLANATIONS if sort in unit.explanations]
