"""Passes over a split, batch by batch: those that gather the sampled units' contexts, and the tables they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.collect.gather import Gatherer, Wanted
from autointerp.collect.hard_negatives import Embed, HardNegatives, likeness_of
from autointerp.collect.survey import Surveyor
from autointerp.collect.token_table import TokenSums, write_token_tables
from autointerp.contexts.reading import context_ids, read_batches
from autointerp.progress import bar
from autointerp.records import Split, Unit
from autointerp.study import Study
from autointerp.tables import table_writer, write_table
from autointerp.units.interface import Activations, Readout, base_id, twin_id
from autointerp.units.sampling import Survey


@runtime_checkable
class Reader(Protocol):
    """What is needed of the subject."""

    widths: dict[str, int]

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[Tensor, "context token width"]]:
        """Activations at every hook, the start token's position dropped."""
        ...


def read_activations(
    subject: Reader, contexts: Int[np.ndarray, " context"], tokens: Int[np.ndarray, "context token"]
) -> Activations:
    """What the subject does on a batch of contexts, of these ids."""
    return Activations(subject.activations(tokens), torch.from_numpy(contexts), torch.from_numpy(tokens))


def stream(
    study: Study, subject: Reader, contexts: Path, split: Split, label: str, take: Callable[[Activations], None]
) -> None:
    """One pass over a split: hand the activations on every batch to `take`."""
    total = len(context_ids(contexts, split))
    with bar(label, total, "contexts") as progress:
        for batch in read_batches(contexts, split, study.subject.batch):
            take(read_activations(subject, batch.contexts, batch.tokens))
            progress.advance(len(batch.contexts))


def gather_contexts(
    study: Study,
    subject: Reader,
    contexts: Path,
    run: Path,
    drawn: Sequence[tuple[Readout, list[Unit]]],
    excluded: Sequence[Unit],
    embed: Embed | None,
) -> None:
    """Gather the contexts of every drawn unit from all splits but the training one, and write `run/work`."""
    wanted = study.evidence
    hard = wanted.hard_negatives > 0
    bands = wanted.quantiles if wanted.held_out_per_quantile else 0
    evidence = Wanted(wanted.top, wanted.random, wanted.quantiles, wanted.per_quantile, hard)
    held_out = Wanted(wanted.held_out_top, wanted.random_only, bands, wanted.held_out_per_quantile, hard)
    calibration = Wanted(wanted.held_out_top, wanted.random_only)
    surveyors = [Surveyor(len(units)) for _, units in drawn]
    sums = [TokenSums(len(units)) for _, units in drawn]
    gatherers = _pass(study, subject, contexts, Split.EVIDENCE, evidence, drawn, surveyors, sums)
    finished = [_refresh(units, surveyor.finish()) for (_, units), surveyor in zip(drawn, surveyors, strict=True)]
    finder = None
    if hard and gatherers:
        if embed is None:
            raise ValueError("hard negatives are wanted, and there is no sentence model")
        finder = HardNegatives([likeness_of(gatherer) for gatherer in gatherers], contexts, embed)
        finder.find(gatherers, Split.EVIDENCE, wanted.hard_negatives)
    _write_exemplars(run / "work" / "evidence.parquet", drawn, gatherers)
    tables = {readout.arm: total.table() for (readout, _), total in zip(drawn, sums, strict=True)}
    write_token_tables(run / "work" / "token_tables.safetensors", tables)
    apart = [_pass(study, subject, contexts, Split.HELD_OUT, held_out, drawn)]
    if finder is not None:
        finder.find(apart[0], Split.HELD_OUT, wanted.hard_negatives)
    if study.corpus.calibration:  # drawn alike, so that what fits there fits on the held-out contexts
        apart.append(_pass(study, subject, contexts, Split.CALIBRATION, calibration, drawn))
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
    seed = study.seed_for("evidence")
    gatherers = [Gatherer([twin_id(base_id(u.unit)) for u in units], wanted, ids, seed) for _, units in drawn]

    def take(read: Activations) -> None:
        for position, (readout, _) in enumerate(drawn):
            values = readout.read(read).cpu()
            gatherers[position].add(values, read.contexts, read.tokens)
            if surveyors:
                surveyors[position].add(values, read.contexts, read.tokens)
                sums[position].add(values, read.tokens)

    stream(study, subject, contexts, split, f"gather {split}", take)
    return gatherers


def _refresh(units: Sequence[Unit], survey: Survey) -> list[Unit]:
    """The statistics after thresholding."""
    return [
        replace(
            unit,
            density=float(survey.density[position]),
            max_activation=float(survey.peak[position]),
            single_token=float(survey.single_token[position]),
        )
        for position, unit in enumerate(units)
    ]


def _write_exemplars(path: Path, drawn: Sequence[tuple[Readout, list[Unit]]], *passes: Sequence[Gatherer]) -> None:
    with table_writer("evidence", path) as writer:
        for gatherers in passes:
            for (_, units), gatherer in zip(drawn, gatherers, strict=True):
                for position, unit in enumerate(units):
                    for exemplar in gatherer.exemplars(position, unit.unit):
                        writer.add(exemplar)
