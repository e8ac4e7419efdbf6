"""Standard (ReLU, trained with an L1 penalty): Bricken et al. 2023, Towards Monosemanticity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.interface import Architecture
from sae.architectures.step import Forward, Step
from sae.architectures.weights import Gradients, Weights, folded
from sae.base import SparseAutoencoder
from sae.codes.dense import code_where

_MEDIAN_STEPS, _MEDIAN_DONE = 100, 1e-6


@dataclass(frozen=True, eq=False)
class StandardSae(SparseAutoencoder):
    """Activation = relu(pre-activation)."""

    b_enc: Float[Tensor, " latent"]

    architecture: ClassVar[str] = "standard"
    SHAPES: ClassVar[Mapping[str, tuple[str, ...]]] = {**SparseAutoencoder.SHAPES, "b_enc": ("d_sae",)}

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """See SparseAutoencoder."""
        return self._affine(x, self.W_enc, self.b_enc).relu_()

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """See SparseAutoencoder."""
        return self._affine(x, self.W_enc[:, latents], self.b_enc[latents]).relu_()


class Standard(Architecture):
    """Training with squared error and an L1 penalty; dead latents are given new weights (see `resampling`).

    The recipe is that of the paper's appendix, from memory: b_dec starts at the geometric median, decoder rows have
    length 1, and their gradients lose the part along the row before Adam sees them. The loss is the paper's, mean
    |e|^2 + lambda |f|_1, divided by the variance of the vectors: lambda is `l1` times their root mean square length.
    """

    resamples = True

    def centre(self, vectors: Float[Tensor, "vector d_in"]) -> Float[Tensor, " d_in"]:
        """See Architecture."""
        return geometric_median(vectors)

    def step(self, forward: Forward) -> Step:
        """See Architecture."""
        decoder, count = forward.weights.decoder, forward.vectors
        code = code_where(forward.pre > 0, forward.pre)
        error = forward.error(code)
        unit = forward.length**2
        price = self.recipe.l1 * forward.penalty * forward.length
        slope = error * (2 / (count * unit))
        gradients = Gradients(forward.weights, forward.centred)
        gradients.decoding(code, slope)
        by_value = code.sampled_product(slope, decoder).add_(code.values > 0, alpha=price / (count * unit))
        gradients.encoding(code, by_value)
        gradients.finish(slope.sum(dim=0))
        squares, sums = error.square().sum(dim=1), code.row_sums()
        losses = (squares + price * sums) / unit
        loss = forward.peers.total(losses.sum()) / count
        return Step(code.firings(), forward.peers.total(squares.sum()) / forward.variance, loss, losses)

    def export(self, weights: Weights, scale: float) -> StandardSae:
        """See Architecture."""
        return StandardSae(**folded(weights, scale), apply_b_dec_to_input=True)


def geometric_median(vectors: Float[Tensor, "vector d_in"]) -> Float[Tensor, " d_in"]:
    """The point with the least sum of distances to the vectors (Weiszfeld 1937, in double precision)."""
    x = vectors.double()
    point = x.mean(dim=0)
    for _ in range(_MEDIAN_STEPS):
        weight = 1 / (x - point).norm(dim=1).clamp_min(1e-12)
        moved = weight @ x / weight.sum()
        shift, point = (moved - point).norm(), moved
        if shift <= _MEDIAN_DONE * point.norm().clamp_min(torch.finfo(x.dtype).tiny):
            break
    return point.to(vectors.dtype)
