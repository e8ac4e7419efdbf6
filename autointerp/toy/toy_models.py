"""Toy models of superposition, many trained at once: x' = ReLU(W'W x + b), or without the ReLU (Elhage et al. 2022).

A feature is present with probability `density` (1 less its sparsity), and then uniform in [0, 1]. The loss is the
squared error, weighted by importance and summed over features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.progress import Bar

_LR, _WARM_UP = 3e-2, 0.05


@dataclass(frozen=True)
class ToySpec:
    """One toy model before it is trained."""

    density: float
    """Probability that a feature is present, in (0, 1]."""
    importance: tuple[float, ...]
    """Of each feature: the weight of its squared error."""
    seed: int
    """Number of its start and its data; models of one seed see the same draws, as far as their densities let them."""
    linear: bool = False
    """Whether the ReLU is left out."""


@dataclass(frozen=True, eq=False)
class ToyModels:
    """Trained models, all of the same shape."""

    specs: tuple[ToySpec, ...]
    weights: Float[Tensor, "model hidden feature"]
    """W: column i is the direction of feature i."""
    bias: Float[Tensor, "model feature"]
    loss: Float[Tensor, " model"]
    """Mean over the last tenth of the steps."""


def draw_features(
    vectors: int, features: int, density: float, generator: torch.Generator
) -> Float[Tensor, "vector feature"]:
    """Values of features, independent of each other: 0, or uniform in [0, 1] with probability `density`."""
    present = torch.rand(vectors, features, generator=generator) < density
    return torch.rand(vectors, features, generator=generator) * present


def outputs(
    weights: Float[Tensor, "model hidden feature"],
    bias: Float[Tensor, "model feature"],
    x: Float[Tensor, "model vector feature"],
    linear: Float[Tensor, "model 1 1"],
) -> Float[Tensor, "model vector feature"]:
    """x' of every model; `linear` is 1 where there is no ReLU, else 0."""
    pre = torch.baddbmm(bias[:, None], x @ weights.mT, weights)
    return torch.relu(pre) + linear * torch.clamp(pre, max=0)


def start_of(specs: Sequence[ToySpec], hidden: int, seed: int) -> Float[Tensor, "model hidden feature"]:
    """W before training, Gaussian with columns of expected square 1; models of one seed start alike."""
    features = len(specs[0].importance)
    drawn = {
        own: torch.randn(hidden, features, generator=_generator(seed, own)) / hidden**0.5
        for own in {spec.seed for spec in specs}
    }
    return torch.stack([drawn[spec.seed] for spec in specs])


def train_toys(specs: Sequence[ToySpec], hidden: int, *, steps: int, batch: int, seed: int, progress: Bar) -> ToyModels:
    """Train models of one shape as one tensor program, with Adam (learning rate 0.03, warmed up, cosine to 0).

    The same specs, sizes and seed give the same bits on the same machine. `progress` is a bar over steps.
    """
    weights = start_of(specs, hidden, seed).requires_grad_()
    bias = torch.zeros(len(specs), len(specs[0].importance), requires_grad=True)
    importance = torch.tensor([spec.importance for spec in specs])[:, None]
    density = torch.tensor([spec.density for spec in specs])[:, None, None]
    linear = torch.tensor([float(spec.linear) for spec in specs])[:, None, None]
    seeds = sorted({spec.seed for spec in specs})
    place = torch.tensor([seeds.index(spec.seed) for spec in specs])
    generators = [_generator(seed + 1, own) for own in seeds]
    adam = torch.optim.Adam([weights, bias], lr=_LR)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, _LR, total_steps=steps, pct_start=_WARM_UP)
    tail, counted = torch.zeros(len(specs)), max(1, steps // 10)
    for step in range(steps):
        drawn = torch.stack([torch.rand(2, batch, len(specs[0].importance), generator=own) for own in generators])
        values, chances = drawn[place].unbind(dim=1)
        x = values * (chances < density)
        error = (x - outputs(weights, bias, x, linear)).square() * importance
        loss = error.sum(dim=2).mean(dim=1)
        adam.zero_grad()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        rate.step()
        if step >= steps - counted:
            tail += loss.detach()
        progress.advance()
    return ToyModels(tuple(specs), weights.detach(), bias.detach(), tail / counted)


def untrained_like(toys: ToyModels, seed: int) -> ToyModels:
    """Models of random directions, each W with the norm of the trained one; the null of every figure about geometry."""
    drawn = start_of(toys.specs, toys.weights.shape[1], seed)
    norms = [torch.linalg.matrix_norm(each, keepdim=True) for each in (toys.weights, drawn)]
    return ToyModels(toys.specs, drawn * norms[0] / norms[1], torch.zeros_like(toys.bias), toys.loss * float("nan"))


def _generator(seed: int, own: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + own) % 2**63)
