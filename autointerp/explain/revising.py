"""Revising: first explanations are tried by the simulator on evidence of their own, rewritten, and the better is kept.

What a first explanation is tried on, neither it was written from nor ranks anything; the two are compared where all
candidates are ranked. Every candidate of `revise` is thus the better of two texts, for every unit of every arm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from autointerp.artifacts import rng_of
from autointerp.explain.best_of_n import Choice, choose
from autointerp.explain.interface import Proposal, shown_of
from autointerp.explain.proposing import Material, Planned
from autointerp.explain.ranking import Ranked, rank
from autointerp.explain.revise import Revise, mistakes
from autointerp.progress import bar, say
from autointerp.records import Candidate, Simulation, Status, Unit, Unscored
from autointerp.rows import RevisionRow, state_of
from autointerp.simulate.interface import Simulator, Task
from autointerp.study import Study
from autointerp.units.interface import twin_id

Ask: TypeAlias = Callable[[Sequence[Sequence[Proposal]]], list[list[Candidate | Unscored]]]
"""Proposals in, what became of each out, in their order."""
FIRST, REVISION = "first", "revision"
"""Which of the two was kept."""


@dataclass(frozen=True)
class _First:
    """A first explanation."""

    row: int
    """Place of its unit."""
    column: int
    """Its place among the unit's candidates."""
    unit: Unit
    candidate: Candidate


def revised(
    study: Study, plan: Planned, candidates: Sequence[Sequence[Candidate | Unscored]], simulator: Simulator, ask: Ask
) -> tuple[list[list[Candidate | Unscored]], list[RevisionRow]]:
    """The candidates, those of `revise` replaced by their revisions where these rank higher; rows of `revisions`.

    A first explanation that can't be tried, or whose revision can't be read or ranked, is kept, with the reason in
    its row. One that failed itself stays failed, and has no row.
    """
    whole = [list(found) for found in candidates]
    firsts = [
        _First(row, column, plan.units[row], candidate)
        for row, found in enumerate(whole)
        for column, candidate in enumerate(found)
        if isinstance(candidate, Candidate) and candidate.explainer == Revise.name
    ]
    revisions = [found for (found,) in ask([[question] for question in _questions(study, plan, firsts, simulator)])]
    shares, contexts = plan.material.shares, plan.material.contexts
    pairs = [
        Ranked(f.unit.unit, (f.candidate, revision), shares[f.unit.unit].ranking)
        for f, revision in zip(firsts, revisions, strict=True)
    ]
    rows = []
    for first, pair, scores in zip(firsts, pairs, rank(simulator, pairs, contexts), strict=True):
        choice = choose(pair.candidates, scores)
        if isinstance(choice, Choice):
            whole[first.row][first.column] = choice.candidate
        rows.append(_row(pair, scores, isinstance(choice, Choice) and choice.place == 1))
    kept = sum(row.kept == REVISION for row in rows)
    reasons = Counter(row.reason for row in rows if row.status != Status.OK)
    why = "".join(f"; {count} without a revision: {reason}" for reason, count in reasons.most_common())
    say(f"revise: {kept} of {len(rows)} first explanations replaced by their revisions{why}")
    return whole, rows


def _questions(study: Study, plan: Planned, firsts: Sequence[_First], simulator: Simulator) -> list[Proposal]:
    """What to ask about each first explanation, or why there is nothing to ask."""
    reviser = plan.explainers[Revise.name]
    if not isinstance(reviser, Revise):
        raise ValueError(f"explainer '{Revise.name}' is no Revise")
    tried = _tried(plan.material, firsts, simulator)
    questions: list[Proposal] = []
    for first, result in zip(firsts, tried, strict=True):
        if isinstance(result, Unscored):
            questions.append(result)
            continue
        unit = first.unit
        truth = shown_of(unit, plan.material.validation[unit.unit], plan.material.contexts).contexts
        wrong = mistakes(truth, result.predicted, unit.max_activation)
        rng = rng_of(study.seed_for("explain"), "revise", twin_id(unit.unit), first.column)
        questions.append(reviser.revision(first.candidate.text, wrong, rng))
    return questions


def _tried(material: Material, firsts: Sequence[_First], simulator: Simulator) -> list[Simulation | Unscored]:
    """What each first explanation predicts on its unit's validation contexts."""
    found: dict[int, Simulation | Unscored] = {}
    tasks: list[Task] = []
    positions: list[int] = []
    for position, first in enumerate(firsts):
        contexts = tuple(material.contexts[e.context] for e in material.validation[first.unit.unit])
        if contexts:
            positions.append(position)
            tasks.append(Task(first.candidate.text, contexts))
        else:
            found[position] = Unscored("no evidence to try the first explanation on")
    with bar("try first explanations", len(tasks), "explanations") as progress:
        for number, result in simulator.simulate(tasks, progress):
            found[positions[number]] = result
    return [found[position] for position in range(len(firsts))]


def _row(pair: Ranked, scores: Sequence[float | Unscored], replaced: bool) -> RevisionRow:
    first, revision = pair.candidates
    failed = next((one for one in (revision, scores[1]) if isinstance(one, Unscored)), None)
    status, reason = state_of(failed)
    return RevisionRow(
        unit=pair.unit,
        first=first.text if isinstance(first, Candidate) else None,
        first_score=None if isinstance(scores[0], Unscored) else scores[0],
        revision=revision.text if isinstance(revision, Candidate) else None,
        revision_score=None if isinstance(scores[1], Unscored) else scores[1],
        kept=REVISION if replaced else FIRST,
        status=status,
        reason=reason,
    )
