"""The collect stage: survey the evidence, sample units, gather their contexts from evidence and held-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.collect.hard_negatives import Embed
from autointerp.collect.passes import Reader, gather, stream
from autointerp.collect.survey import Surveyor
from autointerp.contexts.reading import context_ids, read_batches
from autointerp.errors import BadInput
from autointerp.records import Split, Unit
from autointerp.study import Study
from autointerp.units.interface import (
    SPARSE,
    DirectionReadout,
    Encoder,
    FeatureReadout,
    NeuronReadout,
    Readout,
    arm_name,
    base_id,
    random_directions,
    sample_units,
)

CENTRE_CONTEXTS = 64
"""Evidence contexts whose mean activation centres the random directions."""


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
    (centre, survey, gather) and one over the held-out contexts; memory does not depend on their number, but for a bit
    per context and unit where the study asks for hard negatives. These need `embed`, from texts to vectors of length 1.
    """
    contexts = run / "contexts.parquet"
    arms = _arms(study, subject, encoders, contexts)
    _survey(study, subject, contexts, [(a.readout, a.surveyor) for a in arms], "survey units")
    drawn: list[tuple[Readout, list[Unit]]] = []
    excluded: list[Unit] = []
    for arm in arms:
        survey = arm.surveyor.finish()
        units, left_out = sample_units(arm.readout, survey, arm.count, study.units.min_contexts, study.seed)
        drawn.append((_narrow(arm.readout, units, encoders), units))
        excluded += left_out
    drawn += _sparse_arms(study, arms, drawn)
    gather(study, subject, contexts, run, drawn, excluded, embed)
    return drawn


def _arms(study: Study, subject: Reader, encoders: Mapping[str, tuple[Encoder, int]], contexts: Path) -> list[_Arm]:
    arms: list[_Arm] = []
    if study.units.features:
        for sae in study.sae:
            encoder, width = encoders[sae.name]
            arm = arm_name("feature", sae.name, len(study.sae) > 1)
            readout = FeatureReadout(arm, sae.hook, sae.name, np.arange(width), encoder, all_latents=True)
            arms.append(_Arm(readout, Surveyor(width), study.units.features))
    several = len(study.subject.hooks) > 1
    sparse = {f"{kind}{SPARSE}" for kind in ("neuron", "direction")} & set(study.units.controls)
    for hook in study.subject.hooks:
        width = subject.widths[hook]
        if study.units.neurons:
            both = np.repeat(np.arange(width), 2)
            signs = np.tile(np.array([1, -1]), width)
            neurons = NeuronReadout(arm_name("neuron", hook, several), hook, both, signs, np.zeros(2 * width))
            arms.append(_Arm(neurons, Surveyor(2 * width, f"neuron{SPARSE}" in sparse), study.units.neurons))
        if study.units.directions and {"direction", f"direction{SPARSE}"} & set(study.units.controls):
            indices = np.arange(study.units.directions)
            vectors = random_directions(study.seed, hook, indices, width)
            directions = DirectionReadout(
                arm_name("direction", hook, several), hook, indices, vectors, torch.zeros(width), np.zeros(len(indices))
            )
            arms.append(_Arm(directions, Surveyor(len(indices), f"direction{SPARSE}" in sparse), len(indices)))
    _centre(study, subject, contexts, [a.readout for a in arms if isinstance(a.readout, DirectionReadout)])
    return arms


def _centre(study: Study, subject: Reader, contexts: Path, directions: Sequence[DirectionReadout]) -> None:
    """Centre the directions on the mean of a seeded handful of evidence contexts."""
    if not directions:
        return
    ids = context_ids(contexts, Split.EVIDENCE)
    size = min(CENTRE_CONTEXTS, len(ids))
    chosen = set(rng_of(study.seed, "centre").choice(ids, size=size, replace=False).tolist())
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in read_batches(contexts, Split.EVIDENCE, study.subject.batch):
        keep = np.isin(batch.contexts, list(chosen))
        if keep.any():
            read = subject.activations(batch.tokens[keep])
            count += int(keep.sum()) * batch.tokens.shape[1]
            for direction in directions:
                total = read[direction.hook].double().sum(dim=(0, 1))
                sums[direction.hook] = sums.get(direction.hook, torch.zeros_like(total)) + total
    for direction in directions:
        direction.centre = (sums[direction.hook] / count).float()
        direction.vectors = direction.vectors.to(direction.centre.device)


def _survey(
    study: Study, subject: Reader, contexts: Path, arms: Sequence[tuple[Readout, Surveyor]], label: str
) -> None:
    def take(read: dict[str, Tensor], ids: Tensor, tokens: Tensor) -> None:
        for readout, surveyor in arms:
            surveyor.add(readout.read(read[readout.hook]), ids, tokens)

    stream(study, subject, contexts, Split.EVIDENCE, label, take)


def _narrow(readout: Readout, units: Sequence[Unit], encoders: Mapping[str, tuple[Encoder, int]]) -> Readout:
    """The same readout for the sampled units alone."""
    indices = np.array([u.index for u in units])
    if isinstance(readout, FeatureReadout):
        return FeatureReadout(readout.arm, readout.hook, readout.sae, indices, encoders[readout.sae][0], False)
    if isinstance(readout, DirectionReadout):
        rows = readout.vectors[torch.as_tensor(indices)]
        return DirectionReadout(readout.arm, readout.hook, indices, rows, readout.centre, np.zeros(len(units)))
    signs = np.array([u.sign for u in units])
    return NeuronReadout(readout.arm, readout.hook, indices, signs, np.zeros(len(units)))


def _sparse_arms(
    study: Study, arms: Sequence[_Arm], drawn: Sequence[tuple[Readout, list[Unit]]]
) -> list[tuple[Readout, list[Unit]]]:
    """The drawn neurons and directions again, each with the density of one drawn feature of its hook."""
    made: list[tuple[Readout, list[Unit]]] = []
    for arm, (readout, units) in zip(arms, drawn, strict=True):
        kind = readout.arm.split(":")[0]
        if isinstance(readout, FeatureReadout) or f"{kind}{SPARSE}" not in study.units.controls:
            continue
        densities = [u.density for r, us in drawn if r.sae and r.hook == readout.hook for u in us]
        if not densities:
            raise BadInput(
                f"control '{kind}{SPARSE}' has no features on hook '{readout.hook}' to match",
                "add a [[sae]] on that hook, or take the control out of units.controls",
            )
        made.append(_match(arm, readout, units, densities))
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
    name = f"{readout.arm.split(':')[0]}{SPARSE}{readout.arm[len(readout.arm.split(':')[0]) :]}"
    sparse = [
        replace(u, unit=u.unit.replace(readout.arm, name, 1), arm=name, threshold=float(t))
        for u, t in zip(units, thresholds, strict=True)
    ]
    if isinstance(readout, DirectionReadout):
        return DirectionReadout(
            name, readout.hook, readout.indices, readout.vectors, readout.centre, thresholds
        ), sparse
    return NeuronReadout(name, readout.hook, readout.indices, readout.signs, thresholds), sparse
