"""What the explain stage asks: units, the evidence that each part of it may use, all proposals, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autointerp.artifacts import rng_of
from autointerp.collect.effects_table import read_effects
from autointerp.contexts.reading import load_contexts
from autointerp.contexts.sharing import UnitEvidence, read_exemplars, share_out
from autointerp.explain.best_of_n import CandidatePlan, plan
from autointerp.explain.interface import UNREAD, Explainer, PromptedCandidate, Proposal, Shown, shown_of
from autointerp.explain.registry import open_explainers
from autointerp.explain.revise import Revise
from autointerp.llm.client import Asker
from autointerp.llm.questions import gather
from autointerp.llm.request import Question, key
from autointerp.progress import Bar
from autointerp.records import Candidate, Context, Exemplar, Status, Unit, Unscored
from autointerp.study import Study
from autointerp.tables import CANDIDATES, EFFECTS, EVIDENCE, read_arrow
from autointerp.units.interface import twin_id
from autointerp.units.registry import count_of, kinds_of
from autointerp.units.sampling import group_by_base


@dataclass(frozen=True)
class Material:
    """What proposing and ranking may use, all of it of the evidence split."""

    shares: Mapping[str, UnitEvidence]
    """By unit."""
    shown: Mapping[str, Shown]
    """By unit: the part that explainers see."""
    validation: Mapping[str, Sequence[Exemplar]]
    """By unit: what `revise` tries first explanations on; none of it is shown before, or ranks. Empty without it."""
    contexts: Mapping[int, Context]
    """All contexts of these, by id."""


def check_explain(study: Study) -> None:
    """Raise BadInput, before anything runs, for an unknown explainer, a missing prompt or shares that don't fit."""
    _plan(
        study,
        open_explainers(study),
        signed=any(kind.oriented and count_of(study, kind.name) for kind in kinds_of(study)),
    )


@dataclass(frozen=True)
class Planned:
    """All that is known before the first request."""

    rows: Sequence[Unit]
    """Candidate units, excluded ones included."""
    groups: Sequence[Sequence[Unit]]
    """The orientations of each unit."""
    units: Sequence[Unit]
    """Every orientation."""
    material: Material
    explainers: Mapping[str, Explainer]
    counts: Mapping[str, Mapping[str, int]]
    """Unit -> explainer -> candidates; the sum over a unit's orientations is always the same."""
    proposals: Sequence[Sequence[Proposal]]
    """Of each of `units`."""
    proposers: Sequence[Sequence[str]] = ()
    """The explainer of each proposal."""


def planned(study: Study, run: Path) -> Planned:
    """What the explain stage will do, from the candidate units and their evidence."""
    rows = [Unit(**{**row, "status": Status(row["status"])}) for row in read_arrow(run / CANDIDATES).to_pylist()]
    groups = list(group_by_base([unit for unit in rows if unit.status == Status.OK]).values())
    units = [unit for group in groups for unit in group]
    explainers = open_explainers(study)
    material = _material(run, units, Revise.name in explainers)
    shared = _plan(study, explainers, signed=any(len(group) > 1 for group in groups))
    counts = {unit.unit: shared.counts(len(group)) for group in groups for unit in group}
    found = _propose(study, explainers, units, counts, material.shown)
    proposals = [[proposal for _, proposal in of_unit] for of_unit in found]
    proposers = [[name for name, _ in of_unit] for of_unit in found]
    return Planned(rows, groups, units, material, explainers, counts, proposals, proposers)


def _material(run: Path, units: Sequence[Unit], revises: bool) -> Material:
    exemplars = read_exemplars(run / EVIDENCE)
    effects = read_effects(run / EFFECTS)
    whole = {u.unit: share_out(u.unit, exemplars.get(u.unit, [])) for u in units}
    wanted = {e.context for share in whole.values() for e in (*share.shown, *share.ranking)}
    contexts = load_contexts(run / "contexts.parquet", wanted)
    shares, shown, validation = {}, {}, {}
    for unit in units:
        share = whole[unit.unit]
        shown_of(unit, share.ranking, contexts)  # ranks candidates: evidence only, too
        shown[unit.unit] = shown_of(unit, share.shown, contexts, effects.get(unit.unit, UNREAD))
        validation[unit.unit], shares[unit.unit] = set_apart(share) if revises else ((), share)
    return Material(shares, shown, validation, contexts)


def set_apart(share: UnitEvidence) -> tuple[tuple[Exemplar, ...], UnitEvidence]:
    """Every other ranking context, the first included, for the trial of first explanations; the rest still rank.

    So a revision is never ranked on the contexts whose mistakes it was written from.
    """
    return share.ranking[0::2], replace(share, ranking=share.ranking[1::2])


def _plan(study: Study, explainers: Mapping[str, Explainer], signed: bool) -> CandidatePlan:
    asks = {name: explainer.needs_model for name, explainer in explainers.items()}
    return plan(asks, study.explain.candidates, study.explain.model_share, signed)


def _propose(
    study: Study,
    explainers: Mapping[str, Explainer],
    units: Sequence[Unit],
    counts: Mapping[str, Mapping[str, int]],
    shown: Mapping[str, Shown],
) -> list[list[tuple[str, Proposal]]]:
    return [
        [
            (name, proposal)
            for name, count in counts[unit.unit].items()
            for proposal in explainers[name].propose(
                shown[unit.unit], count, rng_of(study.seed_for("explain"), "explain", name, twin_id(unit.unit))
            )
        ]
        for unit in units
    ]


def requests_in(proposals: Sequence[Sequence[Proposal]]) -> int:
    """How many requests the proposals hold: the total of the progress bar."""
    return sum(isinstance(p, PromptedCandidate) for unit in proposals for p in unit)


def answered(
    proposals: Sequence[Sequence[Proposal]], asker: Asker | None, progress: Bar
) -> list[list[Candidate | Unscored]]:
    """Turn every unit's proposals into candidates, in their order; requests of all units go out together.

    `asker` may be None when no proposal holds a request (ValueError otherwise).
    """
    prompted = [p for unit in proposals for p in unit if isinstance(p, PromptedCandidate)]
    if prompted and asker is None:
        raise ValueError(f"{len(prompted)} proposals hold a request, and there is no language model to ask")
    written: dict[int, Candidate | Unscored] = {}
    if asker is not None and prompted:
        groups = ((told, [Question(told.request, told.read)]) for told in prompted)
        for told, texts in gather(asker, groups, progress):
            text = texts if isinstance(texts, Unscored) else texts[0]
            written[id(told)] = (
                Candidate(text, told.explainer, told.prompt, key(told.request, asker.identity))
                if isinstance(text, str)
                else text
            )
    return [[written[id(p)] if isinstance(p, PromptedCandidate) else p for p in unit] for unit in proposals]
