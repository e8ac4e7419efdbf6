"""The methods under test: every simulator and judge by its registered name, the token table, and the ideal reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from autointerp.errors import BadInput, nearest
from autointerp.judge import registry as judges
from autointerp.judge.registry import check_judges
from autointerp.llm.open import check_llm
from autointerp.llm.providers import LOCAL
from autointerp.planted.meanings import DESCRIPTION
from autointerp.planted.pairings import Portion
from autointerp.planted.sight import out_of_context
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

    def portion(self, asked: Portion) -> Portion:
        """What it is given of what the user asks for. A rule knows no words, so it is told once; where every foil costs
        requests and the user says nothing of them, DRAWN are drawn."""
        if not self.explained:
            return Portion(asked.units, frozen=asked.frozen)
        if self.form is Form.RULE:
            return replace(asked, forms=(DESCRIPTION,))
        return asked if asked.foils is not None or out_of_context(self.name) else replace(asked, foils=DRAWN)

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
    """Every method that is registered: the ideal reader, simulators, the token table, judges.

    Without judges of tokens: a planted unit is a rule over texts, and promotes none.
    """
    named = simulators.SIMULATORS.names()
    found = [Method(IDEAL, Form.RULE, IDEAL), *(Method(name, Form.SIMULATOR, name) for name in named)]
    found.append(Method(LOOKUP, Form.TOKEN_TABLE, LOOKUP))
    taken = {method.name for method in found}
    for name in judges.JUDGES.names():
        if judges.traits_of(name).of_tokens:
            continue
        found.append(Method(f"{name}-judge" if name in taken else name, Form.JUDGE, name))
    return found


def chosen(names: Sequence[str]) -> list[Method]:
    """The methods of these names, each once, in the order of the tables; BadInput for a name that is none."""
    known = {method.name: method for method in methods()}
    for name in names:
        if name not in known:
            raise BadInput(f"no method '{name}'", nearest(name, known))
    return [method for name, method in known.items() if name in names]
