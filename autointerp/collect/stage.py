"""The collect stage: survey the evidence, sample units, gather their contexts from evidence and held-out.

It knows no kind of unit by name: `units.registry` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autointerp.artifacts import rng_of
from autointerp.collect.hard_negatives import Embed
from autointerp.collect.passes import Passes, Reader, gather_contexts, read_activations
from autointerp.collect.survey import Surveyor
from autointerp.contexts.reading import context_ids, read_batches
from autointerp.errors import BadInput
from autointerp.records import Split, Unit
from autointerp.study import Study
from autointerp.units.interface import SPARSE, Activations, Encoder, Prepared, Readout, base_id, kind_of, sparse_arm
from autointerp.units.registry import all_candidates, as_thresholded
from autointerp.units.sampling import group_by_base, sample_units

PREPARING_CONTEXTS = 64
"""Evidence contexts that readouts see before they are read, such as those whose mean centres the random directions."""


@dataclass
class _Arm:
    """One arm in the making."""

    readout: Readout
    surveyor: Surveyor
    count: int


def collect(
    study: Study,
    subject: Reader,
    encoders: Mapping[str, tuple[Encoder, int]],
    run: Path,
    embed: Embed | None = None,
) -> list[tuple[Readout, list[Unit]]]:
    """Write the candidate units of every arm and their contexts into `run/work`; return those sampled, by readout.

    `encoders` maps an SAE's name to the SAE and its number of latents. Both orientations of a neuron are
    candidates here; one is chosen on evidence by the explain stage. Three passes over the evidence at most
    (prepare, survey, gather) and one over the held-out contexts; memory does not depend on their number, but for what
    the survey keeps for the gathering (`MOST_KEPT` bytes at most) and a bit per context and unit where the study asks
    for hard negatives. These need `embed`, from texts to vectors of length 1.
    """
    contexts = run / "contexts.parquet"
    arms = [
        _Arm(c.readout, Surveyor(len(c.readout.indices), _twin_control(c.readout) in study.units.controls), c.count)
        for c in all_candidates(study, subject.widths, encoders)
    ]
    prepare(study, subject, contexts, [a.readout for a in arms if isinstance(a.readout, Prepared)])

    def survey(read: Activations) -> None:
        for arm in arms:
            arm.surveyor.add(arm.readout.read(read), read.contexts, read.tokens)

    passes = Passes(study, subject, contexts, Split.EVIDENCE)
    passes.stream("survey units", survey)
    drawn: list[tuple[Readout, list[Unit]]] = []
    excluded: list[Unit] = []
    for arm in arms:
        units, left_out = sample_units(
            arm.readout, arm.surveyor.finish(), arm.count, study.units.min_contexts, study.seed_for("units")
        )
        drawn.append((arm.readout.narrowed(units), units))
        excluded += left_out
    drawn += _sparse_arms(study, arms, drawn)
    gather_contexts(study, subject, contexts, run, passes, drawn, excluded, embed)
    return drawn


def _twin_control(readout: Readout) -> str:
    """The control that asks for the density-matched twins of these units."""
    return f"{kind_of(readout.arm)}{SPARSE}"


def prepare(study: Study, subject: Reader, contexts: Path, readouts: Sequence[Prepared]) -> None:
    """Let the readouts that want it see a seeded handful of evidence contexts."""
    if not readouts:
        return
    ids = context_ids(contexts, Split.EVIDENCE)
    size = min(PREPARING_CONTEXTS, len(ids))
    chosen = rng_of(study.seed_for("units"), "centre").choice(ids, size=size, replace=False)
    for batch in read_batches(contexts, Split.EVIDENCE, study.subject.batch):
        keep = np.isin(batch.contexts, chosen)
        if keep.any():
            activations = read_activations(subject, batch.contexts[keep], batch.tokens[keep])
            for readout in readouts:
                readout.prepare(activations)


def _sparse_arms(
    study: Study, arms: Sequence[_Arm], drawn: Sequence[tuple[Readout, list[Unit]]]
) -> list[tuple[Readout, list[Unit]]]:
    """The drawn units of the dense arms again, each with the density of one drawn feature of its hook."""
    made: list[tuple[Readout, list[Unit]]] = []
    for arm, (readout, units) in zip(arms, drawn, strict=True):
        control = _twin_control(readout)
        if control not in study.units.controls:
            continue
        densities = [u.density for r, us in drawn if r.sae and r.hook == readout.hook for u in us]
        if not densities:
            raise BadInput(
                f"control '{control}' has no features on hook '{readout.hook}' to match",
                "add a [[sae]] on that hook, or take the control out of units.controls",
            )
        chosen = [unit for group in list(group_by_base(units).values())[: study.units.sparse] for unit in group]
        made.append(_match(arm, arm.readout.narrowed(chosen), chosen, densities))
    return made


def _match(
    arm: _Arm, readout: Readout, units: Sequence[Unit], densities: Sequence[float]
) -> tuple[Readout, list[Unit]]:
    """Set each unit's threshold; both orientations of a neuron are matched to the same feature."""
    order = list(dict.fromkeys(base_id(u.unit) for u in units))
    wanted = np.zeros(len(arm.readout.indices))
    place_of = {
        (int(i), int(s)): p for p, (i, s) in enumerate(zip(arm.readout.indices, arm.readout.signs, strict=True))
    }
    for unit in units:
        wanted[place_of[unit.index, unit.sign]] = densities[order.index(base_id(unit.unit)) % len(densities)]
    all_thresholds = arm.surveyor.thresholds(wanted)
    thresholds = np.array([all_thresholds[place_of[u.index, u.sign]] for u in units])
    name = sparse_arm(readout.arm)
    sparse = [
        replace(u, unit=u.unit.replace(readout.arm, name, 1), arm=name, threshold=float(t))
        for u, t in zip(units, thresholds, strict=True)
    ]
    return as_thresholded(readout).thresholded(name, thresholds), sparse
