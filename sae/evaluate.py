"""How well an autoencoder describes vectors: sparsity, variance explained, dead latents, in one streaming pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.errors import SaeError


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures over all vectors that were given, which should be vectors that training has not seen."""

    vectors: int
    l0: float
    """Mean number of active latents per vector."""
    explained_variance: float
    """1 - FVU: 1 - |x - reconstruction|^2 / |x - mean x|^2, both summed over vectors and elements. At most 1."""
    dead_share: float
    """Share of the latents that no vector activates."""
    density: Float[Tensor, " latent"]
    """Share of the vectors that activate each latent."""


def evaluate(sae: SparseAutoencoder, batches: Iterable[Float[Tensor, "_ d_in"]]) -> Evaluation:
    """Evaluate `sae` on batches of raw vectors, of any sizes; memory does not grow with their number.

    Raises SaeError when there are no vectors or all are the same.
    """
    spread = _Spread(sae.d_in)
    left = 0.0
    firings: Int[Tensor, " latent"] = torch.zeros(sae.width, dtype=torch.int64)
    for batch in batches:
        x = batch.to(sae.device)
        code = sae.encode_sparse(x)
        left += float((code.times(sae.W_dec, plus=sae.b_dec - x)).double().square().sum())
        firings += code.firings().cpu()
        spread.add(batch)
    if not spread.squares > 0:
        raise SaeError(f"{spread.count} vectors without any spread", "give more vectors, and check the hook")
    density = firings.double() / spread.count
    return Evaluation(
        vectors=spread.count,
        l0=float(density.sum()),
        explained_variance=1 - left / spread.squares,
        dead_share=float((firings == 0).double().mean()),
        density=density,
    )


class _Spread:
    """Sum of squares about the mean, batch by batch (Chan, Golub and LeVeque 1979), in double precision."""

    def __init__(self, d_in: int) -> None:
        self.count = 0
        self.squares = 0.0
        self._mean: Float[Tensor, " d_in"] = torch.zeros(d_in, dtype=torch.float64)

    def add(self, batch: Float[Tensor, "vector d_in"]) -> None:
        if not batch.shape[0]:
            return
        x = batch.double().cpu()
        mean, total = x.mean(dim=0), self.count + x.shape[0]
        shift = mean - self._mean
        between = float(shift.square().sum()) * self.count * x.shape[0] / total
        self.squares += float((x - mean).square().sum()) + between
        self._mean += shift * (x.shape[0] / total)
        self.count = total
