"""Which methods there are, which units a limit leaves, and what a method's cost is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.errors import BadInput
from autointerp.llm.ledger.ledger import Ledger
from autointerp.planted import measuring
from autointerp.planted.finished import Measured, Store
from autointerp.planted.meanings import DESCRIPTION, OTHER, TRUE, WORD_LIST
from autointerp.planted.measuring import measure
from autointerp.planted.methods import DRAWN, QUICK, Form, Method, chosen, methods
from autointerp.planted.pairings import EVERY, EXPLANATIONS, NONE, PlantedPairing, Portion, limited, pairings_of
from autointerp.planted.units import PlantedUnit
from autointerp.records import Unscored
from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.planted.made import made_units

STUDY = parse_study({})


def test_every_method_has_a_name_of_its_own() -> None:
    found = methods()
    names = [method.name for method in found]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    assert {"embedding", "embedding-judge"} <= set(names)
    (judge,) = chosen(["embedding-judge"])
    assert (judge.form, judge.registered) == (Form.JUDGE, "embedding")
    assert {method.name for method in found if not method.explained} == {"lookup", "intruder"}


def test_a_method_knows_which_model_it_needs() -> None:
    study = STUDY.model_copy(update={"judge": STUDY.judge.model_copy(update={"llm": "simulator"})})
    study = study.model_copy(update={"simulate": STUDY.simulate.model_copy(update={"llm": "explainer"})})
    needs = {method.name: method.llm_of(study) for method in methods()}
    assert (needs["lift"], needs["detection"]) == ("explainer", "simulator")
    assert [name for name, llm in needs.items() if llm is None] == [
        "ideal",
        "embedding",
        "literal",
        "literal-words",
        "lookup",
        "embedding-judge",
    ]


def test_a_name_that_is_none_gets_the_nearest() -> None:
    with pytest.raises(BadInput, match="no method 'detecton': did you mean 'detection'"):
        chosen(["lift", "detecton"])


def _units() -> list[PlantedUnit]:
    (first, *_) = made_units()
    kinds = {"form": 6, "number": 2, "noise": 2}
    return [
        replace(first, unit=f"planted/{kind}/m{n}/{form}", kind=kind, test=n % 2 == 0)
        for kind, count in kinds.items()
        for n in range(count)
        for form in ("binary", "graded")
    ]


@pytest.mark.parametrize("count", range(1, 21))
def test_a_limit_takes_kinds_and_halves_in_turn_and_new_meanings_first(count: int) -> None:
    units = _units()
    kept = limited(units, count)
    assert len(kept) == min(count, len(units))
    assert [unit for unit in units if unit in kept] == kept
    groups = Counter((unit.kind, unit.test) for unit in kept)
    if count <= 6:
        assert set(groups.values()) == {1}
    for group, members in groups.items():
        meanings = {unit.unit.rpartition("/")[0] for unit in kept if (unit.kind, unit.test) == group}
        assert len(meanings) == min(members, 3 if group[0] == "form" else 1)
    assert limited(units, None) == units
    assert limited(units, 2)[0].kind == "noise"


def test_pairings_are_every_explanation_in_both_forms_or_none() -> None:
    units = made_units()
    counts = Counter(pairing.unit.unit for pairing in pairings_of(units, explained=True))
    assert {counts[unit.unit] for unit in units if unit.kind != "noise"} == {2 * len(EXPLANATIONS)}
    assert {counts[unit.unit] for unit in units if unit.kind == "noise"} == {2}
    many = [replace(units[0], foils=(*units[0].foils, replace(units[0].foils[0], unit="b", word_list="")))]
    told = [(p.explanation, p.form, p.foil_unit) for p in pairings_of(many, explained=True)]
    assert (OTHER, DESCRIPTION, "b") in told
    assert (OTHER, WORD_LIST, "b") not in told, "it has no list"
    assert len(told) == 2 * len(EXPLANATIONS) + 1
    assert len(pairings_of(many, True, Portion(foils=1, forms=(DESCRIPTION,)))) == len(EXPLANATIONS)
    few = pairings_of(units, True, Portion(forms=(WORD_LIST,), against=(OTHER,)))
    assert {(p.explanation, p.form) for p in few} == {(TRUE, WORD_LIST), (OTHER, WORD_LIST)}
    halves = [replace(unit, test=n % 2 == 0) for n, unit in enumerate(units)]
    assert Portion(frozen=True).of(halves) == halves[::2]
    assert all(unit.test for unit in Portion(units=3, frozen=True).of(halves))
    alone = pairings_of(units, explained=False)
    assert [pairing.unit for pairing in alone] == list(units)
    assert {(pairing.explanation, pairing.text) for pairing in alone} == {(NONE, "")}
    pairing = PlantedPairing(units[0], NONE, "")
    assert [c.context for c in pairing.contexts] == units[0].held.contexts.tolist()


LOOKUP = Method("lookup", Form.TOKEN_TABLE, "lookup")


def _measured(units: Sequence[PlantedUnit], work: Path, study: Study = STUDY) -> Measured:
    return measure(study, LOOKUP, units, EVERY, work, Store(study, units, work))


def _kept(units: Sequence[PlantedUnit], work: Path, study: Study = STUDY) -> Measured | None:
    return Store(study, units, work).find(LOOKUP)


def test_what_is_kept_depends_on_units_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units, seeded = made_units()[:4], STUDY.model_copy(update={"seed": 1})
    first = _measured(units, tmp_path)
    assert _kept(units, tmp_path) == first
    assert _kept(units[:3], tmp_path) is None
    assert _kept(units, tmp_path, seeded) is None
    for change in (
        {"explanations": {**units[0].explanations, "true": "something else"}},
        {"held_out": units[0].held_out[:-1]},
        {"evidence": units[0].evidence[1:]},
    ):
        assert _kept([replace(units[0], **change), *units[1:]], tmp_path) is None

    def failing(*_: object) -> list[float | Unscored]:
        return [Unscored("no digit"), 0.25, 0.5, 1.0]

    monkeypatch.setattr(measuring, "scores_of", failing)
    assert _measured(units, tmp_path) == first
    assert _measured(units, tmp_path, seeded).scores[0] == Unscored("no digit")
    found = _kept(units, tmp_path, seeded)
    assert found is not None
    assert found.scores == (Unscored("no digit"), 0.25, 0.5, 1.0)


def test_methods_may_be_kept_on_different_numbers_of_units(tmp_path: Path) -> None:
    units = made_units()
    some = limited(units, 3)
    store = Store(STUDY, units, tmp_path)
    measured = measure(STUDY, LOOKUP, some, Portion(3), tmp_path, store)
    assert (measured.portion.units, len(measured.scores)) == (3, 3)
    assert store.find(LOOKUP) == store.find(LOOKUP, Portion(3)) == measured
    assert store.find(LOOKUP, EVERY) is None
    assert store.find(LOOKUP, Portion(3, 2)) is None
    assert [row.unit for row in measured.rows(pairings_of(some, explained=False))] == [unit.unit for unit in some]


def test_a_request_that_came_to_nothing_leaves_the_method_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(resources: Any, *_: object) -> list[float | Unscored]:
        resources.unanswered += 1
        return [Unscored("the endpoint is down")]

    monkeypatch.setattr(measuring, "scores_of", unanswered)
    units = made_units()[:1]
    _measured(units, tmp_path)
    assert _kept(units, tmp_path) is None


def test_time_is_not_told_when_the_ledger_spared_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sparing(resources: Any, *_: object) -> list[float | Unscored]:
        assert isinstance(resources.ledger, Ledger)
        if resources.ledger.numbers("x") is None:
            resources.ledger.keep_numbers("x", "e", np.zeros(2, dtype=np.float32))
        return [0.5]

    monkeypatch.setattr(measuring, "scores_of", sparing)
    units = made_units()
    fresh, spared = (_measured(units[n : n + 1], tmp_path).cost for n in (0, 1))
    assert fresh.seconds_per_unit is not None
    assert fresh.tokens_per_unit == 0
    assert (spared.seconds_per_unit, spared.tokens_per_unit) == (None, None)


def test_all_foils_where_they_cost_nothing_and_a_few_where_they_are_asked() -> None:
    found = {method.name: method.portion(EVERY).foils for method in methods()}
    assert {found[name] for name in ("ideal", "lift", "lift-next", "embedding", "literal", "literal-words")} == {None}
    assert {found[name] for name in ("digits", "detection", "embedding-judge", "lift-in-context")} == {DRAWN}
    assert {method.portion(Portion(foils=5)).foils for method in methods() if method.explained} == {5}
