"""The explain stage: propose for all units, ask together, rank on evidence by the simulator, choose.

It opens the evidence split alone. A neuron's two orientations share its candidates equally; the orientation of the
best candidate is the neuron's from here on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from autointerp.artifacts import rng_of
from autointerp.contexts.naming import kind_of
from autointerp.explain.best_of_n import Choice, choose
from autointerp.explain.interface import Explainer, Proposal, Shown
from autointerp.explain.proposals import check_failures, write_proposals
from autointerp.explain.proposing import Planned, answered, planned, requests_in
from autointerp.explain.ranking import Ranked, rank
from autointerp.explain.revise import Revise
from autointerp.explain.revising import revised
from autointerp.llm.client import Asker
from autointerp.llm.questions import InOrder
from autointerp.progress import Bar, bar
from autointerp.records import Candidate, Status, Unit, Unscored
from autointerp.rows import ExplanationRow, state_of
from autointerp.simulate.interface import Simulator
from autointerp.study import Study
from autointerp.tables import REVISIONS, write_table
from autointerp.units.interface import twin_id

OpenAsker: TypeAlias = Callable[[], AbstractContextManager[Asker]]
"""Who is asked, opened for that long."""
OpenSimulator: TypeAlias = Callable[[], AbstractContextManager[Simulator]]
"""Who ranks the candidates, opened for that long."""


def explain(study: Study, run: Path, open_asker: OpenAsker, open_simulator: OpenSimulator) -> None:
    """Write `explanations.parquet`, `proposals.parquet` (all that were to choose from, or failed) and `units.parquet`
    from the candidate units and their evidence.

    Raises CheckFailed where an explainer that asks a language model failed for every unit.
    Where `revise` is asked, `revisions.parquet` tells what became of each first explanation. `open_asker` opens the
    explainer's language model, when there is something to ask it; `open_simulator` what ranks the candidates.
    """
    plan = planned(study, run)
    candidates = _ask(open_asker, plan.proposals)
    check_failures(plan, candidates)
    with open_simulator() as simulator:
        if Revise.name in plan.explainers:
            candidates, rows = revised(study, plan, candidates, simulator, lambda asked: _ask(open_asker, asked))
            write_table("revisions", run / REVISIONS, rows)
        ranked = completed(study, plan, candidates)
        scores = rank(simulator, to_rank(plan, ranked), plan.material.contexts)
    write_choice(run, plan, ranked, scores)
    write_proposals(run, plan, candidates, ranked, scores)


def completed(
    study: Study, plan: Planned, candidates: Sequence[list[Candidate | Unscored]]
) -> list[list[Candidate | Unscored]]:
    """Candidates of every orientation, failures replaced by spare word lists where there are any."""
    whole = list(candidates)
    for position, unit in enumerate(plan.units):
        wanted = sum(plan.counts[unit.unit].values())
        if sum(isinstance(c, Candidate) for c in whole[position]) < wanted:
            spare = _spare(study, plan.explainers, unit, wanted, plan.material.shown[unit.unit])
            whole[position] = filled_up(whole[position], spare, wanted)
    return whole


def to_rank(plan: Planned, candidates: Sequence[Sequence[Candidate | Unscored]]) -> list[Ranked]:
    """Candidates of every orientation, with the contexts that rank them."""
    return [
        Ranked(unit.unit, found, plan.material.shares[unit.unit].ranking)
        for unit, found in zip(plan.units, candidates, strict=True)
    ]


def _ask(open_asker: OpenAsker, proposals: Sequence[Sequence[Proposal]]) -> list[list[Candidate | Unscored]]:
    """Ask for all units together; the language model is opened only when there is something to ask."""
    total = requests_in(proposals)
    if not total:
        return answered(proposals, None, Bar())
    with open_asker() as asker, bar("ask the explainer", total, "requests") as progress:
        return answered(proposals, InOrder(asker), progress)


def _spare(study: Study, explainers: Mapping[str, Explainer], unit: Unit, wanted: int, shown: Shown) -> list[Candidate]:
    """Further candidates that need no language model, to stand in for those that failed."""
    found: list[Candidate] = []
    for name, explainer in explainers.items():
        if not explainer.needs_model:
            rng = rng_of(study.seed_for("explain"), "spare", name, twin_id(unit.unit))
            found += [p for p in explainer.propose(shown, 2 * wanted, rng) if isinstance(p, Candidate)]
    return found


def filled_up(
    candidates: Sequence[Candidate | Unscored], spare: Sequence[Candidate], wanted: int
) -> list[Candidate | Unscored]:
    """`candidates` with failures replaced by unused spare ones, until `wanted` are good: the same for every unit.

    Failures stay in the list, so that their reasons are counted, when nothing is left to stand in for them.
    """
    good: list[Candidate | Unscored] = [c for c in candidates if isinstance(c, Candidate)]
    failed = [c for c in candidates if isinstance(c, Unscored)]
    texts = {c.text for c in candidates if isinstance(c, Candidate)}
    for candidate in spare:
        if len(good) >= wanted:
            break
        if candidate.text not in texts:
            texts.add(candidate.text)
            good.append(candidate)
    return [*good, *failed[: max(wanted - len(good), 0)]]


def write_choice(
    run: Path,
    plan: Planned,
    candidates: Sequence[Sequence[Candidate | Unscored]],
    scores: Sequence[Sequence[float | Unscored]],
) -> None:
    """One row per unit, in the orientation of its best candidate (without one: of its larger peak)."""
    found = dict(zip((u.unit for u in plan.units), zip(candidates, scores, strict=True), strict=True))
    chosen: list[Unit] = []
    explanations: list[ExplanationRow] = []
    for group in plan.groups:
        pairs = [(unit, c, s) for unit in group for c, s in zip(*found[unit.unit], strict=True)]
        choice = choose([c for _, c, _ in pairs], [s for _, _, s in pairs])
        unit = pairs[choice.place][0] if isinstance(choice, Choice) else max(group, key=lambda u: u.max_activation)
        chosen.append(unit)
        explanations.append(_explanation(unit, choice, sum(isinstance(c, Candidate) for _, c, _ in pairs)))
    excluded = [unit for unit in plan.rows if unit.status == Status.EXCLUDED]
    write_table("explanations", run / "explanations.parquet", explanations)
    write_table("units", run / "units.parquet", [*chosen, *excluded])


def _explanation(unit: Unit, choice: Choice | Unscored, candidates: int) -> ExplanationRow:
    told = None if isinstance(choice, Unscored) else choice.candidate
    status, reason = state_of(choice)
    return ExplanationRow(
        unit=unit.unit,
        arm=unit.arm,
        explainer=told.explainer if told else "",
        replicate=unit.replicate,
        text=told.text if told else "",
        candidates=candidates,
        evidence_score=None if isinstance(choice, Unscored) else choice.score,
        prompt=told.prompt if told else "",
        request=told.request if told else "",
        status=status,
        reason=reason,
        kind=kind_of(told.text) if told else "",
    )
