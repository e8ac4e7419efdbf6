"""The explainer's end: what an explainer finds of a meaning that is known, and what it can't find."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.contexts.naming import LIST
from autointerp.planted.finished import Store
from autointerp.planted.meanings import TRUE
from autointerp.planted.measuring import RANKERS, WatchedResources, recover
from autointerp.planted.methods import chosen
from autointerp.planted.pairings import EVERY
from autointerp.planted.recovery import overlap, recovered
from autointerp.simulate.literal import Literal
from autointerp.study_file import parse_study
from tests.planted.made import TOPICS, made_units, topic

STUDY = parse_study({})


def test_words_are_found_and_score_as_the_list_of_the_true_meaning_does() -> None:
    rows = recovered(Literal(), made_units(), 0)
    assert len(rows) == TOPICS, "noise means nothing"
    for row in rows:
        assert row.text.startswith(LIST)
        assert row.true_list == pytest.approx(1)
        assert row.held_out is not None
        assert row.held_out > 0.8
        assert row.overlap is not None
        assert row.overlap > 0.7
        assert row.evidence is not None
    assert rows == recovered(Literal(), made_units(), 0)


def test_what_lies_in_the_context_is_not_found_in_a_list_of_words() -> None:
    rows = recovered(Literal(), made_units(before=True), 0)
    assert all(row.overlap is not None and row.overlap < 0.5 for row in rows)


def test_the_overlap_is_that_of_a_loop() -> None:
    unit = made_units()[0]
    words = [*topic(0)[:2], *topic(5)]
    both = either = 0
    for held in unit.held_out:
        for piece, value in zip(held.context.pieces, held.activations, strict=True):
            named = piece.strip() in words
            both += bool(named and value > 0)
            either += bool(named or value > 0)
    assert overlap(unit, LIST + ", ".join(words)) == pytest.approx(both / either)
    assert overlap(unit, unit.lists[TRUE]) == 1
    assert overlap(replace(unit, held_out=unit.held_out[:1]), LIST + "zzz") == 0


def test_it_is_kept_with_its_ranker_and_asked_of_rankers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = made_units()
    (literal,) = chosen(["literal"])
    (other,) = chosen(["literal-words"])
    store = Store(STUDY, units, tmp_path)
    assert set(RANKERS) == {"literal", "lift", "embedding"}
    assert store.find_recovery(literal) is None
    monkeypatch.setattr(WatchedResources, "simulator", lambda self, stage: nullcontext(Literal()))
    found = recover(STUDY, literal, units, EVERY, tmp_path, store)
    assert list(found) == recovered(Literal(), units, STUDY.seed)
    assert recover(STUDY, other, units, EVERY, tmp_path, store) == ()

    def fails(*_: object) -> None:
        raise AssertionError("what is kept was computed again")

    monkeypatch.setattr("autointerp.planted.measuring.recovered", fails)
    assert recover(STUDY, literal, units, EVERY, tmp_path, store) == found
    assert np.isfinite([row.held_out or 0.0 for row in found]).all()
