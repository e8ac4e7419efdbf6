"""What a method scores: a planted unit beside one of its explanations, or alone where the method reads none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autointerp.planted.meanings import DESCRIPTION, FORMS
from autointerp.planted.rules import Rule
from autointerp.planted.units import OTHER, TRUE, WRONG, PlantedUnit
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

    form: str = DESCRIPTION
    """How it is told: one of FORMS; '' for NONE."""
    foil: int = 0
    """For OTHER: which of the unit's foils it is from."""

    @property
    def text(self) -> str:
        """What the method is told; '' for NONE."""
        return "" if self.explanation == NONE else self.unit.told(self.explanation, self.form, self.foil)

    @property
    def foil_unit(self) -> str:
        """Whose explanation it is, for OTHER; else ''."""
        return self.unit.foils[self.foil].unit if self.explanation == OTHER else ""

    @property
    def rule(self) -> Rule:
        """What a perfect reader of the explanation would predict."""
        return self.unit.foils[self.foil].rule if self.explanation == OTHER else self.unit.rules[self.explanation]

    @property
    def contexts(self) -> tuple[Context, ...]:
        """The contexts of the slice top-and-random, in its order."""
        known: Mapping[int, Context] = {held.context.context: held.context for held in self.unit.held_out}
        return tuple(known[int(number)] for number in self.unit.held.contexts)


def pairings_of(
    units: Sequence[PlantedUnit], explained: bool, foils: int | None = None, forms: Sequence[str] = FORMS
) -> list[PlantedPairing]:
    """Every unit with each of its explanations, in each of `forms` that it has; each once with NONE for a method that
    reads none. `foils`: how many of each unit's foils at most, the first of them; None: all."""
    if not explained:
        return [PlantedPairing(unit, NONE, "") for unit in units]
    return [pairing for unit in units for form in unit.forms if form in forms for pairing in _told(unit, form, foils)]


def _told(unit: PlantedUnit, form: str, foils: int | None) -> Iterator[PlantedPairing]:
    for sort in EXPLANATIONS:
        places = range(len(unit.foils[:foils])) if sort == OTHER else range(1)
        for place in places:
            if sort in unit.explanations and unit.told(sort, form, place):
                yield PlantedPairing(unit, sort, form, place)
