"""SAEs evaluated where they stand: what they make of the vectors, and what the subject's loss makes of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from autointerp.errors import BadInput
from autointerp.metrics.loss_recovered import Recovered
from autointerp.progress import bar
from autointerp.sae_eval.places import EvaluationRequest, NamedSae, Place, hooks_to_evaluate
from autointerp.train.quality import losses_at, recovered_by
from sae.base import SparseAutoencoder
from sae.checkpoint import load
from sae.errors import SaeError
from sae.evaluate import Cosines, Evaluation, Moments, Reconstruction, nearest_cosines, summary_of


@dataclass(frozen=True)
class Evaluated:
    """One SAE's figures."""

    name: str
    architecture: str
    d_in: int
    width: int
    """Latents."""
    subject: str
    """Identity of the language model."""
    hook: str
    text: str
    """What the contexts are, in words."""
    contexts: int
    vectors: Evaluation
    loss: Recovered
    own_cosines: Cosines | None
    """Of each latent's decoder row with the nearest other of the same SAE; None when there is no other."""
    cosines: Cosines | None
    """Of each latent's decoder row with the nearest of the SAE that it is held against; None without one."""


def evaluate_saes(where: Sequence[str], asked: EvaluationRequest, against: str | None = None) -> list[Evaluated]:
    """Evaluate the SAEs of runs and checkpoints, in the order of `hooks_to_evaluate`.

    `against`: a checkpoint whose decoder theirs are compared with. Two passes over each place's contexts: one, as far
    as the hook, for the mean of the vectors; one for the losses, in which the SAE's own figures are counted on the same
    vectors. Memory holds the models and one batch, whatever the number of contexts. Raises BadInput.
    """
    try:
        places = hooks_to_evaluate(where, asked)
        other = load(against) if against is not None else None
        if other is not None:
            _check_lengths(str(against), other, places)
        return [row for place in places for row in _at(place, other)]
    except SaeError as error:
        raise BadInput(error.what, error.remedy) from error


def _check_lengths(against: str, other: SparseAutoencoder, places: Sequence[Place]) -> None:
    for candidate in (c for place in places for c in place.candidates):
        if candidate.sae.d_in != other.d_in:
            raise BadInput(
                f"decoder rows of '{candidate.name}' have length {candidate.sae.d_in}, of '{against}' {other.d_in}",
                "give --against an SAE of the same hook",
            )


def _at(place: Place, other: SparseAutoencoder | None) -> list[Evaluated]:
    """Every SAE of a place; the subject's own losses and its ablations are computed once for all of them."""
    tallies = [Reconstruction(candidate.sae) for candidate in place.candidates]
    again = [tally.reconstruct for tally in tallies]
    losses = losses_at(place.subject, place.hook, place.read, place.contexts, _mean(place), again)
    return [
        _row(place, candidate, tally, losses, number, other)
        for number, (candidate, tally) in enumerate(zip(place.candidates, tallies, strict=True))
    ]


def _mean(place: Place) -> Tensor:
    """The mean of all vectors of the place, in double precision before it is rounded once."""
    moments = Moments(place.subject.widths[place.hook])
    with bar(f"mean of {place.hook}", place.contexts, "contexts") as progress:
        for tokens in place.read():
            moments.add(place.subject.activations(tokens)[place.hook].flatten(0, 1))
            progress.advance(len(tokens))
    return moments.mean.float().to(place.subject.device)


def _row(
    place: Place,
    candidate: NamedSae,
    tally: Reconstruction,
    losses: Mapping[str, np.ndarray],
    number: int,
    other: SparseAutoencoder | None,
) -> Evaluated:
    sae = candidate.sae
    decoder = sae.W_dec
    return Evaluated(
        name=candidate.name,
        architecture=sae.architecture,
        d_in=sae.d_in,
        width=sae.width,
        subject=place.subject.identity,
        hook=place.hook,
        text=place.text,
        contexts=place.contexts,
        vectors=tally.finish(),
        loss=recovered_by(losses, number, place.seed),
        own_cosines=summary_of(nearest_cosines(decoder)) if sae.width > 1 else None,
        cosines=None if other is None else summary_of(nearest_cosines(decoder, other.W_dec.to(decoder.device))),
    )
