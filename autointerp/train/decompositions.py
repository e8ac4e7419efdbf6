"""What is fitted to the training split besides SAEs: principal and independent components of every hook."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from autointerp.artifacts import rng_of
from autointerp.collect.passes import Reader
from autointerp.component_rows import ComponentRow
from autointerp.contexts.reading import count_contexts, read_batches
from autointerp.errors import BadInput
from autointerp.progress import bar, say
from autointerp.records import Split
from autointerp.study import Study
from autointerp.tables import TRAIN, write_table
from autointerp.units.components import FOLDER, components_file
from autointerp.units.independent import RESTARTS, SAMPLE, Independent, fit_independent
from autointerp.units.principal import Principal, SecondMoments, fit_principal

COMPONENTS = "components.parquet"
"""The table of what was fitted, by path in the run folder."""


def kinds_fitted(study: Study) -> list[str]:
    """The kinds that a study wants fitted."""
    wanted = {Principal.name: study.units.principal, Independent.name: study.units.independent}
    return [kind for kind, count in wanted.items() if count]


def decompose(study: Study, subject: Reader, run: Path) -> None:
    """Fit what the study wants to the vectors at every hook, in one pass over the training split.

    Writes the fits to `run/work/components` and a row per component to `components.parquet`. Memory: per hook the
    square of its width, and for ICA the vectors of its sample. Raises BadInput without a training split, and where
    fewer independent components converge than there shall be units.
    """
    if (run / FOLDER).is_dir():
        shutil.rmtree(run / FOLDER)
    kinds, hooks = kinds_fitted(study), study.subject.hooks
    contexts = count_contexts(run / TRAIN, Split.TRAIN)
    if not contexts:
        raise BadInput("there is no training split to fit components to", "set corpus.train above 0")
    moments = {hook: SecondMoments.of_width(subject.widths[hook]) for hook in hooks if Principal.name in kinds}
    samples = {hook: list[Float[np.ndarray, "_ width"]]() for hook in hooks if Independent.name in kinds}
    chosen, seen = _chosen(study, contexts), 0
    with bar("fit components", contexts, "contexts") as progress:
        for batch in read_batches(run / TRAIN, Split.TRAIN, study.subject.batch):
            read = subject.activations(batch.tokens)
            within = chosen[(chosen >= seen) & (chosen < seen + batch.tokens.size)] - seen
            for hook, of_hook in moments.items():
                of_hook.add(read[hook].reshape(-1, subject.widths[hook]))
            for hook, drawn in samples.items():
                vectors = read[hook].reshape(-1, subject.widths[hook])
                drawn.append(vectors[torch.as_tensor(within, device=vectors.device)].cpu().numpy())
            seen += batch.tokens.size
            progress.advance(len(batch.contexts))
    rows: list[ComponentRow] = []
    for hook in hooks:
        if hook in moments:
            rows += _principal(hook, moments[hook], run)
        if hook in samples:
            rows += _independent(study, hook, np.concatenate(samples[hook]), run)
    write_table("components", run / COMPONENTS, rows)


def _chosen(study: Study, contexts: int) -> Int[np.ndarray, " _"]:
    """Which vectors of the split, by their places in it, ICA is fitted to."""
    total = contexts * study.corpus.context
    drawn = rng_of(study.seed_for("units"), "sample of ICA").choice(total, size=min(total, SAMPLE), replace=False)
    return np.sort(drawn)


def _principal(hook: str, moments: SecondMoments, run: Path) -> Iterator[ComponentRow]:
    fit, shares = fit_principal(moments)
    fit.save(run / components_file(Principal.name, hook))
    say(f"  {len(shares)} principal components of {hook}, from {moments.vectors:,} vectors")
    for place, share in enumerate(shares):
        yield ComponentRow(Principal.name, hook, place, float(share), True, None, None, moments.vectors)


def _independent(study: Study, hook: str, sample: Float[np.ndarray, "_ width"], run: Path) -> Iterator[ComponentRow]:
    fit = fit_independent(sample, study.units.independent, study.seed_for("units"), hook)
    fit.components.save(run / components_file(Independent.name, hook))
    size, kept = len(fit.variance), fit.converged
    stable = int((kept & (fit.restarts == RESTARTS)).sum())
    say(
        f"  ICA of {hook}: {int(kept.sum())} of {size} components converged, {stable} of them were found in all "
        f"{RESTARTS} restarts; from {len(sample):,} vectors"
    )
    if kept.sum() < study.units.independent:
        raise BadInput(
            f"of {size} independent components of {hook} {int(kept.sum())} converged, and units.independent = "
            f"{study.units.independent}",
            "lower it, or give ICA more training text (corpus.tokens, corpus.train)",
        )
    for place in range(size):
        yield ComponentRow(
            kind=Independent.name,
            hook=hook,
            component=place,
            variance=float(fit.variance[place]),
            kept=bool(kept[place]),
            restarts=int(fit.restarts[place]),
            similarity=float(fit.similarity[place]),
            vectors=len(sample),
        )
