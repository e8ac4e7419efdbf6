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
from autointerp.subject.forward import NotFinite
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
    """What the subject does on a batch of contexts, of these ids. Raises NotFinite, which names the context."""
    try:
        by_hook = subject.activations(tokens)
    except NotFinite as error:
        context = f"context {contexts[error.row]} of contexts.parquet"
        raise NotFinite(error.hook, error.row, error.dtype, context) from error
    return Activations(by_hook, torch.from_numpy(contexts), torch.from_numpy(tokens))


MOST_KEPT = 2 << 30
"""Bytes of activations that are kept from one pass over a split for the next."""


class Passes:
    """Passes over one split. The subject computes in the first one alone where what it computes fits into memory."""

    def __init__(self, study: Study, subject: Reader, contexts: Path, split: Split, once: bool = False) -> None:
        """`once`: there is one pass alone, nothing is kept."""
        self._study, self._subject, self.contexts, self.split = study, subject, contexts, split
        tokens = len(context_ids(contexts, split)) * study.corpus.context
        self._fits = not once and 4 * tokens * sum(subject.widths.values()) <= MOST_KEPT  # float32
        self._kept: list[Activations] | None = None

    def stream(self, label: str, take: Callable[[Activations], None]) -> None:
        """One pass: hand the activations on every batch to `take`, which changes none of them."""
        if self._kept is not None:
            with bar(label, len(self._kept), "batches") as progress:
                for read in self._kept:
                    take(read)
                    progress.advance()
            return
        kept: list[Activations] = []
        with bar(label, len(context_ids(self.contexts, self.split)), "contexts") as progress:
            for batch in read_batches(self.contexts, self.split, self._study.subject.batch):
                read = read_activations(self._subject, batch.contexts, batch.tokens)
                take(read)
                if self._fits and all(values.device.type == "cpu" for values in read.by_hook.values()):
                    kept.append(read)
                progress.advance(len(batch.contexts))
        self._kept = kept or None

    def forget(self) -> None:
        """Free the memory; a further pass computes anew."""
        self._kept = None


def gather_contexts(
    study: Study,
    subject: Reader,
    contexts: Path,
    run: Path,
    passes: Passes,
    drawn: Sequence[tuple[Readout, list[Unit]]],
    excluded: Sequence[Unit],
    embed: Embed | None,
) -> None:
    """Gather the contexts of every drawn unit from all splits but the training one, and write `run/work`.

    `passes` are over the evidence.
    """
    wanted = study.evidence
    hard = wanted.hard_negatives > 0
    bands = wanted.quantiles if wanted.held_out_per_quantile else 0
    evidence = Wanted(wanted.top, wanted.random, wanted.quantiles, wanted.per_quantile, hard)
    held_out = Wanted(wanted.held_out_top, wanted.random_only, bands, wanted.held_out_per_quantile, hard)
    calibration = Wanted(wanted.held_out_top, wanted.random_only)
    surveyors = [Surveyor(len(units)) for _, units in drawn]
    sums = [TokenSums(len(units)) for _, units in drawn]
    gatherers = _pass(study, passes, evidence, drawn, surveyors, sums)
    passes.forget()
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
    apart = [_pass(study, Passes(study, subject, contexts, Split.HELD_OUT, once=True), held_out, drawn)]
    if finder is not None:
        finder.find(apart[0], Split.HELD_OUT, wanted.hard_negatives)
    if study.corpus.calibration:  # drawn alike, so that what fits there fits on the held-out contexts
        once = Passes(study, subject, contexts, Split.CALIBRATION, once=True)
        apart.append(_pass(study, once, calibration, drawn))
    _write_exemplars(run / "work" / "held-out.parquet", drawn, *apart)
    write_table("units", run / "work" / "candidates.parquet", [*(u for us in finished for u in us), *excluded])


def _pass(
    study: Study,
    passes: Passes,
    wanted: Wanted,
    drawn: Sequence[tuple[Readout, list[Unit]]],
    surveyors: Sequence[Surveyor] = (),
    sums: Sequence[TokenSums] = (),
) -> list[Gatherer]:
    ids, seed = context_ids(passes.contexts, passes.split), study.seed_for("evidence")
    gatherers = [Gatherer([twin_id(base_id(u.unit)) for u in units], wanted, ids, seed) for _, units in drawn]

    def take(read: Activations) -> None:
        for position, (readout, _) in enumerate(drawn):
            values = readout.read(read).cpu()
            gatherers[position].add(values, read.contexts, read.tokens)
            if surveyors:
                surveyors[position].add(values, read.contexts, read.tokens)
                sums[position].add(values, read.tokens)

    passes.stream(f"gather {passes.split}", take)
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
