"""What an SAE, or another set of directions, has recovered of features that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from autointerp.metrics.formulas import pearson
from autointerp.toy.geometry import represented
from autointerp.toy_rows import ToyRecoveryRow
from sae.evaluate import nearest_cosines

RECOVERED = 0.9
"""A feature is recovered where its direction has at least this cosine with the latent's that is matched with it."""

Vectors = Float[np.ndarray, "vector column"]


@dataclass(frozen=True, eq=False)
class Truth:
    """A toy model's represented features, and vectors on which they are read."""

    seed: int
    features: Int[np.ndarray, " feature"]
    """Their numbers."""
    directions: Float[np.ndarray, "feature hidden"]
    values: Float[np.ndarray, "vector feature"]
    """0 where the feature is absent."""
    hidden: Float[Tensor, "vector hidden"]
    """What the toy model makes of the values of all features."""

    @classmethod
    def of(cls, seed: int, weights: Float[np.ndarray, "hidden feature"], values: Vectors) -> Truth:
        """Of a model's W, and values [vector, feature] of all features."""
        kept = np.flatnonzero(represented(weights))
        hidden = torch.from_numpy((values @ weights.T).astype(np.float32))
        return cls(seed, kept, weights.T[kept], values[:, kept], hidden)


@dataclass(frozen=True, eq=False)
class FoundDirections:
    """What is held against the truth: directions, and their activations on its vectors."""

    method: str
    toy: str
    sae_seed: int
    directions: Float[np.ndarray, "latent hidden"]
    activations: Float[np.ndarray, "vector latent"]
    """At least 0."""
    other_seed: Float[np.ndarray, "latent hidden"] | None = None
    """Directions of the SAE of another seed."""


def cosines(rows: Float[np.ndarray, "row hidden"], others: Float[np.ndarray, "other hidden"]) -> Vectors:
    """Of every row with every other; a row of zeros has cosine 0 with everything."""
    first, second = (
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        for each in (rows.astype(np.float64), others.astype(np.float64))
    )
    return np.asarray(first @ second.T)


def f1_of(present: np.ndarray, fires: np.ndarray) -> float:
    """2 x both / (present + fires), in [0, 1]; one of the two must be true somewhere."""
    return float(2 * (present & fires).sum() / (present.sum() + fires.sum()))


def recovery_rows(truth: Truth, found: FoundDirections) -> Iterator[ToyRecoveryRow]:
    """A row per represented feature. Features and latents are matched one to one, for the largest sum of cosines."""
    table = cosines(truth.directions, found.directions)
    matched = dict(zip(*(map(int, places) for places in linear_sum_assignment(table, maximize=True)), strict=True))
    for place, feature in enumerate(truth.features):
        latent = matched.get(place)
        scores = _scores(truth, place, None if latent is None else found.activations[:, latent])
        again = None
        if latent is not None and found.other_seed is not None:
            again = float(cosines(found.directions[[latent]], found.other_seed).max())
        cosine = None if latent is None else float(table[place, latent])
        yield ToyRecoveryRow(
            method=found.method, toy=found.toy, seed=truth.seed, sae_seed=found.sae_seed, feature=int(feature),
            latent=latent, nearest=float(table[place].max()), cosine=cosine,
            recovered=cosine is not None and cosine >= RECOVERED, f1=scores[0], correlation=scores[1], other=scores[2],
            again=again,
        )  # fmt: skip


def _scores(
    truth: Truth, place: int, activations: Float[np.ndarray, " vector"] | None
) -> tuple[float | None, float | None, float | None]:
    """F1, correlation, and mean correlation with the other features; None where the latent or a feature is constant."""
    varying = np.ptp(truth.values, axis=0) > 0
    if activations is None or not np.ptp(activations) > 0 or not varying[place]:
        return None, None, None
    all_of = pearson(activations.astype(np.float64), truth.values[:, varying].T)
    others = np.flatnonzero(varying) != place
    wrong = float(all_of[others].mean()) if others.any() else None
    return f1_of(truth.values[:, place] > 0, activations > 0), float(all_of[~others][0]), wrong


def nearest_of_latents(truth: Truth, found: FoundDirections) -> Float[np.ndarray, " latent"]:
    """The other way: for each latent that fires, the largest cosine with a represented feature."""
    alive = (found.activations > 0).any(axis=0)
    rows, features = (torch.from_numpy(np.ascontiguousarray(each)).double() for each in (
        found.directions[alive], truth.directions))  # fmt: skip
    return np.asarray(nearest_cosines(rows, features).numpy()) if alive.any() else np.empty(0)
