"""The methods under test: every simulator and judge by its registered name, the token table, and the ideal reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from autointerp.errors import BadInput, nearest
from autointerp.judge import registry as judges
from autointerp.judge.registry import check_judges
from autointerp.llm.open import check_llm
from autointerp.llm.providers import LOCAL
from autointerp.planted.meanings import DESCRIPTION, FORMS, NOISE
from autointerp.planted.sight import out_of_context
from autointerp.planted.units import PlantedUnit
from autointerp.simulate import registry as simulators
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.simulate.registry import check_simulator
from autointerp.study import Study

IDEAL = "ideal"
"""The ideal reader: the rule of each explanation predicts, so that it says what the units and the metric allow."""
QUICK = (IDEAL, "lift", "embedding", LITERAL, LOOKUP)
"""Minutes without any endpoint."""
DRAWN = 2
"""Foils of each unit, where every one of them costs requests."""


class Form(StrEnum):
    """Through which interface a method scores."""

    SIMULATOR = "simulator"
    JUDGE = "judge"
    TOKEN_TABLE = "token table"
    RULE = "rule"


@dataclass(frozen=True)
class Method:
    """Something that scores a unit."""

    name: str
    """In tables: the registered name; a judge that shares it with a simulator is called NAME-judge."""
    form: Form
    registered: str

    @property
    def explained(self) -> bool:
        """Whether it reads an explanation."""
        if self.form is Form.JUDGE:
            return judges.traits_of(self.registered).needs_explanation
        return self.form in (Form.SIMULATOR, Form.RULE)

    @property
    def told(self) -> tuple[str, ...]:
        """In which of FORMS explanations are given to it: a rule knows no words, so it is asked once."""
        return (DESCRIPTION,) if self.form is Form.RULE else FORMS

    def foils(self, asked: int | None) -> int | None:
        """How many foils of each unit it is given at most; None: all. `asked`: what the user wants; None: nothing."""
        if asked is not None or self.form is Form.RULE or out_of_context(self.name):
            return asked
        return DRAWN

    def llm_of(self, study: Study) -> str | None:
        """The study's name of the language model that it asks or runs; None when it needs none."""
        if self.form in (Form.TOKEN_TABLE, Form.RULE):
            return None
        if self.form is Form.SIMULATOR:
            return study.simulate.llm if simulators.needs_of(self.registered).language_model else None
        return study.judge.llm if judges.uses_model(self.registered) else None

    def study_for(self, study: Study) -> Study:
        """The study in which this method is the one simulator, or the one judge, on the planted units' contexts."""
        judging = {"methods": (self.registered,) if self.form is Form.JUDGE else (), "negatives": "random"}
        update = {"judge": study.judge.model_copy(update=judging)}
        if self.form is Form.SIMULATOR:
            return study.model_copy(
                update={**update, "simulate": study.simulate.model_copy(update={"method": self.registered})}
            )
        return study.model_copy(update=update)

    def check(self, study: Study) -> None:
        """Raise BadInput when the study's models, as far as they are known, are not enough for this method."""
        own = self.study_for(study)
        name = self.llm_of(study)
        if name is not None and own.llm[name].provider != LOCAL:
            check_llm(own.llm[name])
        if self.form is Form.SIMULATOR:
            check_simulator(own)
        elif self.form is Form.JUDGE:
            check_judges(own)


def methods() -> list[Method]:
    """Every method that is registered: the ideal reader, simulators, the token table, judges."""
    named = simulators.SIMULATORS.names()
    found = [Method(IDEAL, Form.RULE, IDEAL), *(Method(name, Form.SIMULATOR, name) for name in named)]
    found.append(Method(LOOKUP, Form.TOKEN_TABLE, LOOKUP))
    taken = {method.name for method in found}
    for name in judges.JUDGES.names():
        found.append(Method(f"{name}-judge" if name in taken else name, Form.JUDGE, name))
    return found


def chosen(names: Sequence[str]) -> list[Method]:
    """The methods of these names, each once, in the order of the tables; BadInput for a name that is none."""
    known = {method.name: method for method in methods()}
    for name in names:
        if name not in known:
            raise BadInput(f"no method '{name}'", nearest(name, known))
    return [method for name, method in known.items() if name in names]


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
