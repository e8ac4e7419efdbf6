"""How well an autoencoder describes vectors: sparsity, variance left over, latents' densities, decoder geometry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.errors import SaeError

_PER_DECADE, _DECADES = 4, 8
_BLOCK = 2**24
"""Cosines in memory at once."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures over all vectors that were given, which should be vectors that training has not seen."""

    vectors: int
    l0: float
    """Mean number of active latents per vector."""
    fvu: float
    """Fraction of variance unexplained: |x - reconstruction|^2 / |x - mean x|^2, both summed over vectors and elements.

    At least 0; above 1 when the mean alone would describe the vectors better.
    """
    dead_share: float
    """Share of the latents that no vector activates."""
    density: Float[Tensor, " latent"]
    """Share of the vectors that activate each latent."""

    @property
    def explained_variance(self) -> float:
        """1 - FVU, at most 1."""
        return 1 - self.fvu


class Moments:
    """Mean and sum of squares about it, batch by batch (Chan, Golub and LeVeque 1979), in double precision."""

    def __init__(self, d_in: int) -> None:
        self.count = 0
        """Vectors so far."""
        self.squares = 0.0
        """Sum over vectors and elements of the squared distance to the mean."""
        self.mean: Float[Tensor, " d_in"] = torch.zeros(d_in, dtype=torch.float64)

    def add(self, batch: Float[Tensor, "vector d_in"]) -> None:
        """Take a batch of any size into account."""
        if not batch.shape[0]:
            return
        x = _wide(batch)
        self.mean = self.mean.to(x.device)
        mean, total = x.mean(dim=0), self.count + x.shape[0]
        shift = mean - self.mean
        between = float(shift.square().sum()) * self.count * x.shape[0] / total
        self.squares += float((x - mean).square().sum()) + between
        self.mean += shift * (x.shape[0] / total)
        self.count = total


class Reconstruction:
    """Counts what an autoencoder makes of vectors while it reconstructs them, in memory of a fixed size."""

    def __init__(self, sae: SparseAutoencoder) -> None:
        self._sae = sae
        self._moments = Moments(sae.d_in)
        self._left = 0.0
        self._firings: Int[Tensor, " latent"] = torch.zeros(sae.width, dtype=torch.int64)

    def reconstruct(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_in"]:
        """The autoencoder's reconstruction of raw vectors (on its own device), which are counted."""
        code = self._sae.encode_sparse(x)
        made = self._sae.written(x, code)
        self._left += float((_wide(made) - _wide(x)).square().sum())
        self._firings += code.firings().cpu()
        self._moments.add(x)
        return made

    def finish(self) -> Evaluation:
        """The figures so far. Raises SaeError when there were no vectors, or all are the same."""
        count, spread = self._moments.count, self._moments.squares
        if not spread > 0:
            raise SaeError(f"{count} vectors without any spread", "give more vectors, and check the hook")
        density = self._firings.double() / count
        return Evaluation(
            vectors=count,
            l0=float(density.sum()),
            fvu=self._left / spread,
            dead_share=float((self._firings == 0).double().mean()),
            density=density,
        )


def _wide(x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector d_in"]:
    """In double precision, where the vectors are; on the processor if their device has no such numbers."""
    return x.double() if x.device.type in ("cpu", "cuda") else x.cpu().double()


def evaluate(sae: SparseAutoencoder, batches: Iterable[Float[Tensor, "_ d_in"]]) -> Evaluation:
    """Evaluate `sae` on batches of raw vectors, of any sizes; memory does not grow with their number.

    Raises SaeError when there are no vectors or all are the same.
    """
    tally = Reconstruction(sae)
    for batch in batches:
        tally.reconstruct(batch.to(sae.device))
    return tally.finish()


@dataclass(frozen=True)
class DensityHistogram:
    """Latents by the decimal logarithm of their density, in bins a quarter of a decade wide from -8 to 0."""

    edges: tuple[float, ...]
    """log10 of the bins' bounds, ascending; one more than there are bins. The last bin holds both bounds."""
    counts: tuple[int, ...]
    """Latents in each bin; the first also takes what is rarer still."""
    silent: int
    """Latents that are never active: their logarithm is minus infinity, so no bin holds them."""


def density_histogram(density: Float[Tensor, " latent"]) -> DensityHistogram:
    """Bin the densities of an SAE's latents."""
    bins = _PER_DECADE * _DECADES
    active = density[density > 0].double()
    place = ((active.log10() + _DECADES) * _PER_DECADE).floor().long().clamp(0, bins - 1)
    return DensityHistogram(
        edges=tuple(bound / _PER_DECADE - _DECADES for bound in range(bins + 1)),
        counts=tuple(torch.bincount(place, minlength=bins).tolist()),
        silent=int((density == 0).sum()),
    )


@dataclass(frozen=True)
class Cosines:
    """How near the latents' decoder rows are to their nearest neighbours."""

    mean: float
    """Mean over the latents of the largest cosine, in [-1, 1]."""
    above_07: float
    """Share of the latents whose largest cosine is above 0.7."""
    above_09: float


def summary_of(nearest: Float[Tensor, " latent"]) -> Cosines:
    """Sum up the largest cosine of each latent, as `nearest_cosines` gives it."""
    return Cosines(
        mean=float(nearest.double().mean()),
        above_07=float((nearest > 0.7).double().mean()),
        above_09=float((nearest > 0.9).double().mean()),
    )


def nearest_cosines(
    rows: Float[Tensor, "latent d_in"], others: Float[Tensor, "other d_in"] | None = None
) -> Float[Tensor, " latent"]:
    """For each decoder row its largest cosine with a row of `others`, or with another of `rows` when there are none.

    Signed: an opposite direction is not near. A row of zeros has cosine 0 with everything. The matrix of cosines is
    never held whole. Raises SaeError when there is no other row.
    """
    among = _unit(rows if others is None else others)
    if others is None and among.shape[0] < 2:
        raise SaeError("an SAE of one latent has no other to compare it with", "give one of two latents or more")
    nearest = []
    block = max(1, _BLOCK // among.shape[0])
    for start in range(0, rows.shape[0], block):
        cosines = _unit(rows[start : start + block]) @ among.T
        if others is None:
            here = torch.arange(cosines.shape[0], device=cosines.device)
            cosines[here, here + start] = -torch.inf
        nearest.append(cosines.max(dim=1).values)
    return torch.cat(nearest)


def _unit(rows: Float[Tensor, "row d_in"]) -> Float[Tensor, "row d_in"]:
    return torch.nn.functional.normalize(rows, dim=1)
