"""SAEs of every architecture on toy models' vectors, and what they are held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from autointerp.artifacts import rng_of, seed_of
from autointerp.progress import Bar
from autointerp.toy.matching import FoundDirections, Truth, nearest_of_latents, recovery_rows
from autointerp.toy.toy_models import ToyModels, draw_features
from autointerp.toy.toy_study import SAE_BATCH, Recovering
from autointerp.toy_rows import ToyRecoveryRow
from autointerp.units.independent import fit_independent
from autointerp.units.principal import SecondMoments, fit_principal
from sae.base import SparseAutoencoder
from sae.evaluate import evaluate
from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.train import train_together

TRAINED, UNTRAINED, ANOTHER = "trained", "untrained", "another"
RANDOM, FROZEN, PRINCIPAL, INDEPENDENT = "random directions", "frozen decoder", "principal", "independent"
IDEAL = "true directions"
SEEDS = (0, 1)


@dataclass(frozen=True)
class SaeFigures:
    """What is of an SAE as a whole, on vectors of their own."""

    method: str
    toy: str
    seed: int
    sae_seed: int
    l0: float
    fvu: float
    latents: float | None
    """Mean over latents that fire of the largest cosine with a feature."""
    alive: int
    """Latents that fire."""


def recipe_of(settings: Recovering, architecture: str, freeze: str = "none") -> Recipe:
    """An architecture with the study's settings."""
    return Recipe(
        architecture=architecture, width=settings.width, k=settings.k, batch=SAE_BATCH, freeze=freeze,  # type: ignore[arg-type]
        l1=settings.l1_gated if architecture == "gated" else settings.l1,
        lr=settings.lr_jumprelu if architecture == "jumprelu" else settings.lr,
    )  # fmt: skip


def trainings(settings: Recovering) -> int:
    """SAEs that `try_saes` trains."""
    return settings.toys * (len(settings.architectures) * (len(SEEDS) + 1) + 1)


def try_saes(
    settings: Recovering, toys: ToyModels, untrained: ToyModels, seed: int, progress: Bar
) -> tuple[list[ToyRecoveryRow], list[SaeFigures]]:
    """Train them all and hold them against the truth. `progress` is a bar over `trainings(settings)`.

    Of each toy model: two SAEs per architecture, one with a frozen decoder, components, random directions and the true
    ones; one per architecture on vectors of an untrained model; and the SAEs of another model against this one's truth.
    """
    rows: list[ToyRecoveryRow] = []
    figures: list[SaeFigures] = []

    def hold(truth: Truth, found: FoundDirections, sae: SparseAutoencoder | None = None) -> None:
        rows.extend(recovery_rows(truth, found))
        if sae is not None:
            figures.append(_figures_of(truth, found, sae))

    truths = _truths(settings, toys, seed)
    saes: dict[tuple[str, int, int], SparseAutoencoder] = {}
    for truth, weights in zip(truths, toys.weights, strict=True):
        vectors = _vectors(settings, weights.numpy(), truth.seed, seed)
        for name in settings.architectures:
            for own in SEEDS:
                saes[name, truth.seed, own] = _train(settings, name, vectors, (name, truth.seed, own), seed)
                progress.advance()
        frozen = _train(settings, FROZEN, vectors, (FROZEN, truth.seed, 0), seed)
        progress.advance()
        hold(truth, _of_sae(truth, frozen, FROZEN, TRAINED, 0), frozen)
        for found in _without_training(settings, truth, vectors, seed):
            hold(truth, found)
    for (method, number, own), sae in saes.items():
        (place,) = (at for at, truth in enumerate(truths) if truth.seed == number)
        hold(truths[place], _of_sae(truths[place], sae, method, TRAINED, own, saes[method, number, 1 - own]), sae)
        if own == SEEDS[0]:
            wrong = truths[(place + 1) % len(truths)]
            hold(wrong, _of_sae(wrong, sae, method, ANOTHER, own))
    for truth, weights in zip(_truths(settings, untrained, seed), untrained.weights, strict=True):
        vectors = _vectors(settings, weights.numpy(), truth.seed, seed)
        for name in settings.architectures:
            sae = _train(settings, name, vectors, (f"{name} on untrained", truth.seed, 0), seed)
            progress.advance()
            hold(truth, _of_sae(truth, sae, name, UNTRAINED, 0), sae)
    return rows, figures


def _truths(settings: Recovering, toys: ToyModels, seed: int) -> list[Truth]:
    """Of each model, with held-out vectors."""
    return [
        Truth.of(spec.seed, weights, _values(settings, settings.held_out, "held-out", spec.seed, seed))
        for spec, weights in zip(toys.specs, toys.weights.numpy(), strict=True)
    ]


def _values(settings: Recovering, count: int, split: str, number: int, seed: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed_of(seed, "toy", split, number))
    return np.asarray(draw_features(count, settings.features, settings.density, generator).numpy())


def _vectors(
    settings: Recovering, weights: Float[np.ndarray, "hidden feature"], number: int, seed: int
) -> Float[np.ndarray, "vector hidden"]:
    values = _values(settings, settings.vectors, "train", number, seed)
    return np.asarray(values @ weights.T, dtype=np.float32)


def _train(
    settings: Recovering,
    name: str,
    vectors: Float[np.ndarray, "vector hidden"],
    own: tuple[str, int, int],
    seed: int,
) -> SparseAutoencoder:
    recipe = recipe_of(settings, "batchtopk", "decoder") if name == FROZEN else recipe_of(settings, name)
    trained = train_together(
        {name: (recipe, seed_of(seed, "toy", *own))},
        MemoryVectors(torch.from_numpy(vectors)),
        passes=settings.passes,
        seed=seed_of(seed, "toy", "stream", *own[1:]),
    )
    return trained[name].sae


def _of_sae(
    truth: Truth, sae: SparseAutoencoder, method: str, toy: str, own: int, other: SparseAutoencoder | None = None
) -> FoundDirections:
    again = None if other is None else other.W_dec.numpy()
    return FoundDirections(method, toy, own, sae.W_dec.numpy(), sae.encode(truth.hidden).numpy(), again)


def _figures_of(truth: Truth, found: FoundDirections, sae: SparseAutoencoder) -> SaeFigures:
    evaluation, nearest = evaluate(sae, [truth.hidden]), nearest_of_latents(truth, found)
    return SaeFigures(
        found.method, found.toy, truth.seed, found.sae_seed, evaluation.l0, evaluation.fvu,
        float(nearest.mean()) if nearest.size else None, nearest.size,
    )  # fmt: skip


def _without_training(
    settings: Recovering, truth: Truth, vectors: Float[np.ndarray, "vector hidden"], seed: int
) -> Iterator[FoundDirections]:
    """Random directions, principal and independent components (in both orientations), and the truth."""
    drawn = rng_of(seed, "toy", "random directions", truth.seed).standard_normal((settings.width, settings.hidden))
    hidden = truth.hidden.numpy()
    for method, rows in ((RANDOM, drawn), (IDEAL, truth.directions)):
        yield FoundDirections(method, TRAINED, 0, rows, np.maximum(hidden @ rows.T, 0))
    moments = SecondMoments.of_width(settings.hidden)
    moments.add(torch.from_numpy(vectors))
    principal, _ = fit_principal(moments)
    independent = fit_independent(vectors, settings.hidden, seed_of(seed, "toy", truth.seed), "hidden").components
    for method, fit in ((PRINCIPAL, principal), (INDEPENDENT, independent)):
        if len(fit.reads):
            yield FoundDirections(method, TRAINED, 0, fit.W_dec.numpy(), fit.encode(truth.hidden).numpy())
