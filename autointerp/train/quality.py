"""How good the SAEs of a run are, on a bounded number of held-out contexts: `sae.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of
from autointerp.contexts.reading import count_contexts
from autointerp.errors import BadInput
from autointerp.metrics.intervals import Interval, Resampling
from autointerp.metrics.loss_recovered import Losses, Recovered, recovered
from autointerp.progress import bar
from autointerp.records import Split, Unscored
from autointerp.rows import state_of
from autointerp.sae_rows import SaeRow
from autointerp.study import Study
from autointerp.study_inputs import Sae
from autointerp.subject.forward import Subject
from autointerp.subject.splicing import Replace, Splicing
from autointerp.tables import TRAIN, write_table
from autointerp.train.saes import sae_folder
from autointerp.train.subject import split_tokens
from sae.base import SparseAutoencoder
from sae.checkpoint import load, read_metadata
from sae.errors import SaeError
from sae.evaluate import Evaluation, Moments, Reconstruction

QUALITY = "sae.parquet"
PLAN = Resampling(resamples=2000, confidence=0.95)
"""Of the intervals over contexts."""
VECTORS, LOSSES = 8192, 512
"""Tokens whose vectors are reconstructed, and those in which the subject's loss is taken, which is slower."""
CLEAN, ZERO, MEAN = "clean", "zero", "mean"
"""Conditions without an SAE: the subject as it is, and ablated."""

ReadTokens = Callable[[], Iterator[Int[np.ndarray, "context token"]]]
"""Gives the contexts batch by batch, the same ones each time."""


def losses_at(
    subject: Subject, hook: str, read: ReadTokens, contexts: int, mean: Tensor, spliced: Sequence[Replace]
) -> Mapping[str, Float[np.ndarray, " context"]]:
    """Loss in every context, in nats per token, by condition: untouched, ablated, and with each of `spliced` in the
    place of the hook's vectors (by its number). `mean`: what mean ablation puts there."""
    conditions: dict[str, Replace | None] = {
        CLEAN: None,
        ZERO: torch.zeros_like,
        MEAN: lambda x: mean.expand_as(x),
        **{str(number): replace for number, replace in enumerate(spliced)},
    }
    splicing = Splicing(subject, hook)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in conditions}
    with bar(f"losses at {hook}", contexts, "contexts") as progress:
        for tokens in read():
            for name, replace in conditions.items():
                parts[name].append(splicing.losses(tokens, replace))
            progress.advance(len(tokens))
    return {name: np.concatenate(found) for name, found in parts.items()}


def recovered_by(losses: Mapping[str, Float[np.ndarray, " context"]], number: int, seed: int) -> Recovered:
    """What the SAE of this number recovers; the same resamples for every SAE, so that they rise and fall together."""
    conditions = Losses(losses[CLEAN], losses[str(number)], losses[ZERO], losses[MEAN])
    return recovered(conditions, PLAN, rng_of(seed, "sae eval"))


@dataclass(frozen=True)
class _QualityContexts:
    """Contexts for the vectors; the first of them are for the losses too."""

    tokens: Int[np.ndarray, "context token"]
    for_losses: int
    batch: int

    def read(self, number: int) -> Iterator[Int[np.ndarray, "context token"]]:
        for start in range(0, number, self.batch):
            yield self.tokens[start : min(start + self.batch, number)]


def measure_saes(study: Study, subject: Subject, run: Path) -> None:
    """Write `sae.parquet`: L0, variance, dead latents and loss recovered of the subject's own SAEs on held-out text.

    Its contexts are drawn by the study's seed: as many as hold `VECTORS` tokens, and of them as many as hold `LOSSES`
    tokens (two at least) for the losses. An SAE whose vectors have no spread is a row with that reason. Raises
    BadInput when an SAE of the run can't be loaded.
    """
    every = split_tokens(run / "contexts.parquet", Split.HELD_OUT)
    number, of_losses = (max(2, most // study.corpus.context) for most in (VECTORS, LOSSES))
    chosen = rng_of(study.seed, "sae quality").permutation(len(every))[:number]
    held = _QualityContexts(every[chosen], min(of_losses, len(chosen)), study.subject.batch)
    seen = None
    if any(sae.train is not None for sae in study.sae):
        seen = count_contexts(run / TRAIN, Split.TRAIN) * study.corpus.context
    rows: dict[str, SaeRow] = {}
    for hook in dict.fromkeys(sae.hook for sae in study.sae):
        here = [sae for sae in study.sae if sae.hook == hook]
        rows |= {row.sae: row for row in _at(study, subject, run, hook, here, held, seen)}
    write_table("sae", run / QUALITY, (rows[sae.name] for sae in study.sae))


def _at(
    study: Study, subject: Subject, run: Path, hook: str, here: Sequence[Sae], held: _QualityContexts, seen: int | None
) -> Iterator[SaeRow]:
    """The SAEs of one hook; the subject's own losses and its ablations are computed once for all of them."""
    every = [(sae, _load(sae, run).to(subject.device)) for sae in here]
    for sae, loaded in every:
        if loaded.transcodes:
            yield _row(sae, loaded, run, held, _TRANSCODES, _UNKNOWN_LOSS, seen)
    here = [sae for sae, loaded in every if not loaded.transcodes]
    saes = [loaded for _, loaded in every if not loaded.transcodes]
    if not saes:
        return
    tallies = [Reconstruction(sae) for sae in saes]
    moments = Moments(subject.widths[hook])
    with bar(f"SAEs at {hook}", len(held.tokens), "contexts") as progress:
        for tokens in held.read(len(held.tokens)):
            vectors = subject.activations(tokens)[hook].flatten(0, 1)
            moments.add(vectors)
            for tally in tallies:
                tally.reconstruct(vectors)
            progress.advance(len(tokens))
    again = [Reconstruction(sae).reconstruct for sae in saes]
    mean = moments.mean.float().to(subject.device)
    losses = losses_at(subject, hook, lambda: held.read(held.for_losses), held.for_losses, mean, again)
    for number, (sae, loaded, tally) in enumerate(zip(here, saes, tallies, strict=True)):
        found = _finished(tally)
        yield _row(sae, loaded, run, held, found, recovered_by(losses, number, study.seed), seen)


_TRANSCODES = Unscored("a transcoder writes another vector than it reads: what of it is right is not measured here")
_UNKNOWN = Interval(None, None, None, "")
_UNKNOWN_LOSS = Recovered(_UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN)


def _load(sae: Sae, run: Path) -> SparseAutoencoder:
    try:
        return load(str(run / sae_folder(sae.name)))
    except SaeError as error:
        raise BadInput(f"SAE '{sae.name}' of this run can't be loaded ({error})", "train it again") from error


def _finished(tally: Reconstruction) -> Evaluation | Unscored:
    try:
        return tally.finish()
    except SaeError:
        return Unscored("the hook's vectors have no spread")


def _row(
    sae: Sae, loaded: SparseAutoencoder, run: Path, held: _QualityContexts, found: Evaluation | Unscored,
    loss: Recovered, seen: int | None,
) -> SaeRow:  # fmt: skip
    status, reason = state_of(found)
    known = None if isinstance(found, Unscored) else found
    told = read_metadata(str(run / sae_folder(sae.name))).get("training_tokens") if sae.train is None else seen
    return SaeRow(
        sae=sae.name,
        hook=sae.hook,
        architecture=loaded.architecture if sae.train is None else sae.train.architecture,
        d_in=loaded.d_in,
        width=loaded.width,
        training_tokens=int(told) if isinstance(told, int | float) and told > 0 else None,
        passes=None if sae.train is None else sae.train.passes,
        contexts=len(held.tokens),
        vectors=held.tokens.size,
        l0=known.l0 if known else None,
        explained_variance=known.explained_variance if known else None,
        dead_share=known.dead_share if known else None,
        loss_contexts=held.for_losses,
        ce_clean=loss.clean.value,
        ce_spliced=loss.spliced.value,
        ce_zero=loss.zero.value,
        ce_mean=loss.mean.value,
        recovered_against_zero=loss.against_zero.value,
        recovered_against_zero_low=loss.against_zero.low,
        recovered_against_zero_high=loss.against_zero.high,
        recovered_against_zero_note=loss.against_zero.note,
        recovered_against_mean=loss.against_mean.value,
        recovered_against_mean_low=loss.against_mean.low,
        recovered_against_mean_high=loss.against_mean.high,
        recovered_against_mean_note=loss.against_mean.note,
        status=status,
        reason=reason,
    )
