"""The collect stage: survey the evidence, sample units, gather their contexts from evidence and held-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.collect.gather import Gatherer, Wanted
from autointerp.collect.reading import context_ids, read_batches
from autointerp.collect.survey import Surveyor
from autointerp.collect.token_table import TokenSums, write_token_tables
from autointerp.errors import BadInput
from autointerp.progress import bar
from autointerp.records import Split, Unit
from autointerp.study import Study
from autointerp.tables import table_writer, write_table
from autointerp.units import (
    SPARSE,
    DirectionReadout,
    Encoder,
    FeatureReadout,
    NeuronReadout,
    Readout,
    Survey,
    arm_name,
    base_id,
    random_directions,
    sample_units,
)

CENTRE_CONTEXTS = 64
"""Evidence contexts whose mean activation centres the random directions."""


@runtime_checkable
class Reader(Protocol):
    """What this stage needs of the subject."""

    widths: dict[str, int]

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[Tensor, "context token width"]]:
        """Activations at every hook, the start token's position dropped."""
        ...


@dataclass
class _Arm:
    """One arm in the making."""

    readout: Readout
    surveyor: Surveyor
    count: int


def collect(study: Study, subject: Reader, encoders: Mapping[str, tuple[Encoder, int]], run: Path) -> None:
    """Write the candidate units of every arm and their contexts into `run/work`.

    `encoders` maps an SAE's name to the SAE and its number of latents. Both orientations of a neuron are
    candidates here; one is chosen on evidence by the explain stage. Three passes over the evidence at most
    (centre, survey, gather) and one over the held-out contexts; memory does not depend on their number.
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
    _gather(study, subject, contexts, run, drawn, excluded)


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


_Taker: TypeAlias = Callable[[dict[str, Tensor], Tensor, Tensor], None]


def _stream(study: Study, subject: Reader, contexts: Path, split: Split, label: str, take: _Taker) -> None:
    """One pass over a split: hand activations, context ids and tokens of every batch to `take`."""
    total = len(context_ids(contexts, split))
    with bar(label, total, "contexts") as progress:
        for batch in read_batches(contexts, split, study.subject.batch):
            read = subject.activations(batch.tokens)
            take(read, torch.from_numpy(batch.contexts), torch.from_numpy(batch.tokens))
            progress.advance(len(batch.contexts))


def _survey(
    study: Study, subject: Reader, contexts: Path, arms: Sequence[tuple[Readout, Surveyor]], label: str
) -> None:
    def take(read: dict[str, Tensor], ids: Tensor, tokens: Tensor) -> None:
        for readout, surveyor in arms:
            surveyor.add(readout.read(read[readout.hook]), ids, tokens)

    _stream(study, subject, contexts, Split.EVIDENCE, label, take)


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


def _gather(
    study: Study,
    subject: Reader,
    contexts: Path,
    run: Path,
    drawn: Sequence[tuple[Readout, list[Unit]]],
    excluded: Sequence[Unit],
) -> None:
    """Gather the contexts of every drawn unit from all splits but the training one, and write `run/work`."""
    wanted = study.evidence
    evidence = Wanted(wanted.top, wanted.random, wanted.quantiles, wanted.per_quantile)
    held_out = Wanted(wanted.held_out_top, wanted.random_only)
    surveyors = [Surveyor(len(units)) for _, units in drawn]
    sums = [TokenSums(len(units)) for _, units in drawn]
    gatherers = _pass(study, subject, contexts, Split.EVIDENCE, evidence, drawn, surveyors, sums)
    finished = [_refresh(units, surveyor.finish()) for (_, units), surveyor in zip(drawn, surveyors, strict=True)]
    _write_exemplars(run / "work" / "evidence.parquet", drawn, gatherers)
    tables = {readout.arm: total.table() for (readout, _), total in zip(drawn, sums, strict=True)}
    write_token_tables(run / "work" / "token_tables.safetensors", tables)
    apart = [_pass(study, subject, contexts, Split.HELD_OUT, held_out, drawn)]
    if study.corpus.calibration:  # drawn alike, so that what fits there fits on the held-out contexts
        apart.append(_pass(study, subject, contexts, Split.CALIBRATION, held_out, drawn))
    _write_exemplars(run / "work" / "held-out.parquet", drawn, *apart)
    write_table("units", run / "work" / "candidates.parquet", [*(u for us in finished for u in us), *excluded])


def _pass(
    study: Study,
    subject: Reader,
    contexts: Path,
    split: Split,
    wanted: Wanted,
    drawn: Sequence[tuple[Readout, list[Unit]]],
    surveyors: Sequence[Surveyor] = (),
    sums: Sequence[TokenSums] = (),
) -> list[Gatherer]:
    ids = context_ids(contexts, split)
    gatherers = [
        Gatherer([base_id(u.unit).replace(SPARSE, "", 1) for u in units], wanted, ids, study.seed) for _, units in drawn
    ]

    def take(read: dict[str, Tensor], ids: Tensor, tokens: Tensor) -> None:
        for place, (readout, _) in enumerate(drawn):
            values = readout.read(read[readout.hook]).cpu()
            gatherers[place].add(values, ids, tokens)
            if surveyors:
                surveyors[place].add(values, ids, tokens)
                sums[place].add(values, tokens)

    _stream(study, subject, contexts, split, f"gather {split}", take)
    return gatherers


def _refresh(units: Sequence[Unit], survey: Survey) -> list[Unit]:
    """The statistics after thresholding."""
    return [
        replace(
            unit,
            density=float(survey.density[place]),
            max_activation=float(survey.peak[place]),
            single_token=float(survey.single_token[place]),
        )
        for place, unit in enumerate(units)
    ]


def _write_exemplars(path: Path, drawn: Sequence[tuple[Readout, list[Unit]]], *passes: Sequence[Gatherer]) -> None:
    with table_writer("evidence", path) as writer:
        for gatherers in passes:
            for (_, units), gatherer in zip(drawn, gatherers, strict=True):
                for place, unit in enumerate(units):
                    for exemplar in gatherer.exemplars(place, unit.unit):
                        writer.add(exemplar)
