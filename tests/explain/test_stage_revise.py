"""Revision of first explanations: what is tried on what, what is kept, what is written, what nobody may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from autointerp.contexts.sharing import UnitEvidence
from autointerp.errors import CheckFailed
from autointerp.explain.interface import Proposal
from autointerp.explain.proposing import Material, Planned, answered, set_apart
from autointerp.explain.revise import Revise
from autointerp.explain.revising import revised
from autointerp.llm.request import Answer, Request, Response
from autointerp.progress import Bar
from autointerp.records import Candidate, Context, Exemplar, Scale, Simulation, Split, Unit, Unscored
from autointerp.simulate.interface import Task
from autointerp.study_file import parse_study
from tests.explain.doubles import SETTINGS
from tests.llm.doubles import EchoAsker

STUDY = parse_study({"explain": {"method": "revise"}})
PIECES = ((" red", " or"), (" blue", " car"), (" sea", " red"), (" blue", " sun"))
"""Of contexts 0 to 3; units are active on colours. 0 and 1 try, 2 and 3 rank."""


class Names:
    """Predicts 1 on every token whose word the explanation names; keeps what it was asked."""

    name, scale = "names", Scale.NATS

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def simulate(self, tasks: Sequence[Task], progress: Bar) -> Iterator[tuple[int, Simulation | Unscored]]:
        for place in reversed(range(len(tasks))):
            task = tasks[place]
            self.seen.append((task.explanation, tuple(c.context for c in task.contexts)))
            rows = [[float(p.strip() in task.explanation.split()) for p in c.pieces] for c in task.contexts]
            broken = "broken" in task.explanation
            yield place, Unscored("no answer") if broken else Simulation(np.array(rows, np.float32), self.scale)


def _planned(firsts: Sequence[Sequence[Candidate | Unscored]]) -> Planned:
    contexts = {n: Context(n, Split.EVIDENCE, n, "s", 0, np.arange(2), p) for n, p in enumerate(PIECES)}
    units = [Unit(f"feature/{n}", 0, "feature", "h", "sae", n, 1, 0.0, 0.1, 2.0, 0.5) for n in range(len(firsts))]
    colours = (" red", " blue")
    rows = [
        Exemplar("u", 0, n, "top", 1.0, np.array([2.0 * (piece in colours) for piece in p], np.float32))
        for n, p in enumerate(PIECES)
    ]
    shares = {u.unit: UnitEvidence(u.unit, (), tuple(rows[2:])) for u in units}
    material = Material(shares, {}, {u.unit: rows[:2] for u in units}, contexts)
    return Planned([], [], units, material, {"revise": Revise(SETTINGS)}, {}, [])


def _first(text: str, explainer: str = "revise") -> Candidate:
    return Candidate(text, explainer, "highlight/v1@x", "key")


class Writer:
    """Answers questions with one answer to all."""

    def __init__(self, answer: str) -> None:
        self.asker = EchoAsker(self._write)
        self._answer = answer

    def _write(self, request: Request) -> Answer:
        return Response(self._answer, 1, 1)

    def __call__(self, proposals: Sequence[Sequence[Proposal]]) -> list[list[Candidate | Unscored]]:
        return answered(proposals, self.asker, Bar())

    @property
    def asked(self) -> list[str]:
        return [request.messages[-1][1] for request in self.asker.seen]


def _revise(
    firsts: list[list[Candidate | Unscored]], writer: Writer, simulator: Names | None = None
) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    whole, rows = revised(STUDY, _planned(firsts), firsts, simulator or Names(), writer)
    return whole, [vars(row) for row in rows]


def test_a_better_revision_takes_the_place_of_the_first_explanation() -> None:
    writer = Writer("[EXPLANATION]: red and blue")
    whole, (row,) = _revise([[_first("red")]], writer)
    ((kept,),) = whole
    assert (kept.text, kept.explainer) == ("red and blue", "revise")
    assert kept.prompt.startswith("revise/v1@")
    assert row == {
        "unit": "feature/0", "first": "red", "first_score": pytest.approx(row["first_score"]),
        "revision": "red and blue", "revision_score": pytest.approx(1.0), "kept": "revision", "status": "ok",
        "reason": "",
    }  # fmt: skip
    assert row["first_score"] < 0.9
    assert writer.asked == [
        'First description: "red"\nMissed 1: " «blue» car"\nWhat is the better description?'
    ]  # fmt: skip


def test_a_worse_revision_is_not_kept() -> None:
    whole, (row,) = _revise([[_first("red or")]], Writer("sun"))
    assert whole == [[_first("red or")]]
    assert (row["kept"], row["status"], row["revision"]) == ("first", "ok", "sun")
    assert row["revision_score"] < row["first_score"]


@pytest.mark.parametrize(
    ("first", "answer", "reason"),
    [
        ("red", "I'm sorry, I can't do that", "the model declined"),
        ("red", "\n", "the answer is empty"),
        ("red", "broken", "no answer"),
        ("red", "sand", "constant prediction"),
        ("red and blue", "colours", "the first explanation makes no mistake to show"),
        ("broken red", "colours", "no answer"),
    ],
)
def test_without_a_revision_the_first_is_kept_and_the_reason_counted(
    first: str, answer: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, (row,) = _revise([[_first(first)]], Writer(answer))
    assert whole == [[_first(first)]]
    assert (row["kept"], row["status"], row["reason"]) == ("first", "unscored", reason)
    assert row["revision_score"] is None
    assert f"revise: 0 of 1 first explanations replaced by their revisions; 1 without a revision: {reason}" in (
        capsys.readouterr().err
    )


def test_a_first_explanation_that_can_not_be_ranked_gives_way_to_a_revision_that_can() -> None:
    whole, (row,) = _revise([[_first("sand")]], Writer("blue"))
    assert whole[0][0].text == "blue"
    assert (row["first_score"], row["kept"]) == (None, "revision")


def test_other_candidates_stay_and_every_unit_keeps_its_number() -> None:
    failed = Unscored("the model refused")
    firsts: list[list[Candidate | Unscored]] = [
        [_first("blue", "exemplars"), _first("red"), failed],
        [_first("red"), _first("sea"), _first("car", "phrase")],
    ]
    whole, rows = _revise(firsts, Writer("red and blue"))
    assert [len(found) for found in whole] == [3, 3]
    assert whole[0] == [firsts[0][0], whole[0][1], failed]
    assert whole[1][2] == firsts[1][2]
    assert [c.text for c in (whole[0][1], *whole[1][:2])] == ["red and blue"] * 3
    assert [row["unit"] for row in rows] == ["feature/0", "feature/1", "feature/1"]


def test_first_explanations_are_tried_where_nothing_is_ranked_and_nothing_was_shown() -> None:
    simulator = Names()
    _revise([[_first("red")]], Writer("blue"), simulator)
    assert simulator.seen[0] == ("red", (0, 1))
    assert set(simulator.seen[1:]) == {("red", (2, 3)), ("blue", (2, 3))}


def test_the_evidence_is_set_apart_without_overlap_and_ranks_still() -> None:
    rows = tuple(Exemplar("u", 0, n, "top", 1.0, np.zeros(2, np.float32)) for n in range(7))
    shown, ranking = rows[:2], rows[2:]
    validation, left = set_apart(UnitEvidence("u", shown, ranking))
    assert [e.context for e in validation] == [2, 4, 6]
    assert [e.context for e in left.ranking] == [3, 5]
    assert left.shown == shown


def test_held_out_text_on_its_way_to_a_revision_stops_the_run() -> None:
    plan = _planned([[_first("red")]])
    held = {n: Context(n, Split.HELD_OUT, n, "s", 0, c.tokens, c.pieces) for n, c in plan.material.contexts.items()}
    plan = Planned([], [], plan.units, Material(plan.material.shares, {}, plan.material.validation, held),
                   plan.explainers, {}, [])  # fmt: skip
    with pytest.raises(CheckFailed, match="is of split 'held-out'"):
        revised(STUDY, plan, [[_first("red")]], Names(), Writer("blue"))


def test_without_evidence_to_try_on_the_first_is_kept() -> None:
    plan = _planned([[_first("red")]])
    material = Material(plan.material.shares, {}, {"feature/0": ()}, plan.material.contexts)
    bare = Planned([], [], plan.units, material, plan.explainers, {}, [])
    whole, (row,) = revised(STUDY, bare, [[_first("red")]], Names(), Writer("blue"))
    assert whole == [[_first("red")]]
    assert row.reason == "no evidence to try the first explanation on"


def test_a_unit_and_its_sparse_twin_ask_alike_and_two_candidates_do_not() -> None:
    def requests(unit: str, firsts: int) -> list[Request]:
        plan = _planned([[_first("red")] * firsts])
        (old,) = plan.units
        renamed = Unit(unit, *list(vars(old).values())[1:])
        material = Material({unit: plan.material.shares[old.unit]}, {}, {unit: plan.material.validation[old.unit]},
                            plan.material.contexts)  # fmt: skip
        writer = Writer("blue")
        revised(STUDY, Planned([], [], [renamed], material, plan.explainers, {}, []), [[_first("red")] * firsts],
                Names(), writer)  # fmt: skip
        return writer.asker.seen

    assert requests("neuron/1+", 1) == requests("neuron-sparse/1+", 1)
    first, second = requests("neuron/1+", 2)
    assert first != second
    assert first.messages == second.messages
