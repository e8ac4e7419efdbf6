"""What a method scores: a planted unit beside one of its explanations, or alone where the method reads none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from autointerp.planted.meanings import DESCRIPTION, FORMS, NOISE
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


@dataclass(frozen=True)
class Portion:
    """Which of all pairings a method is given: those of a method that is asked cost something."""

    units: int | None = None
    """At most; None: all."""
    foils: int | None = None
    """Of each unit, the first of them, at most; None: all."""
    forms: tuple[str, ...] = FORMS
    """How explanations are told."""
    against: tuple[str, ...] = WRONG
    """Sorts of wrong explanations."""
    frozen: bool = False
    """Whether meanings of the development half are left out."""

    def of(self, units: Sequence[PlantedUnit]) -> list[PlantedUnit]:
        """The units that are in it (see `limited`)."""
        return limited([unit for unit in units if unit.test or not self.frozen], self.units)


EVERY = Portion()
"""All that is planted."""


def limited(units: Sequence[PlantedUnit], count: int | None) -> list[PlantedUnit]:
    """At most `count` units, in their order: of every kind and half in turn, new meanings before further forms.

    Noise comes first in its turn: what reads no explanation is held against it.
    """
    if count is None or count >= len(units):
        return list(units)
    meanings, groups = Counter[str](), Counter[tuple[str, bool]]()
    forms: list[int] = []
    for unit in units:
        meaning = unit.unit.rpartition("/")[0]
        forms.append(meanings[meaning])
        meanings[meaning] += 1
    turns: dict[int, int] = {}
    for place in sorted(range(len(units)), key=lambda p: (forms[p], p)):
        group = units[place].kind, units[place].test
        turns[place] = groups[group]
        groups[group] += 1
    kept = sorted(turns, key=lambda place: (turns[place], units[place].kind != NOISE, place))[:count]
    return [units[place] for place in sorted(kept)]


def pairings_of(units: Sequence[PlantedUnit], explained: bool, portion: Portion = EVERY) -> list[PlantedPairing]:
    """Every unit with its explanations, as many as the portion says of the forms that it has; each once with NONE for a
    method that reads none. `units`: those of the portion."""
    if not explained:
        return [PlantedPairing(unit, NONE, "") for unit in units]
    return [
        pairing
        for unit in units
        for form in unit.forms
        if form in portion.forms
        for pairing in _told(unit, form, portion)
    ]


def _told(unit: PlantedUnit, form: str, portion: Portion) -> Iterator[PlantedPairing]:
    for sort in (sort for sort in EXPLANATIONS if sort == TRUE or sort in portion.against):
        places = range(len(unit.foils[: portion.foils])) if sort == OTHER else range(1)
        for place in places:
            if sort in unit.explanations and unit.told(sort, form, place):
                yield PlantedPairing(unit, sort, form, place)
