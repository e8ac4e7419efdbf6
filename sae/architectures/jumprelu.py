"""JumpReLU: a latent is active above its own threshold (Rajamanoharan et al. 2024, Jumping Ahead).

BatchTopK is used in this form too, with one threshold for all of its latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.interface import Architecture, check_k
from sae.architectures.step import Forward, Step
from sae.architectures.weights import Gradients, Weights, folded, gradient_of
from sae.base import SparseAutoencoder
from sae.codes.dense import code_where, places_where
from sae.recipe import Recipe

_BANDWIDTH = 0.06
# In lengths of the vectors; so is the first threshold. The paper's 0.001 is for runs of billions of vectors: in shorter
# ones too few entries come that near to a threshold for it to move, and L0 stays far above its target.


@dataclass(frozen=True, eq=False)
class JumpReluSae(SparseAutoencoder):
    """Activation = relu(pre-activation) where the pre-activation is above the latent's threshold, else 0."""

    b_enc: Float[Tensor, " latent"]
    threshold: Float[Tensor, " latent"]

    architecture: ClassVar[str] = "jumprelu"
    SHAPES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **SparseAutoencoder.SHAPES,
        "b_enc": ("d_sae",),
        "threshold": ("d_sae",),
    }

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """See SparseAutoencoder."""
        return _jump(self._affine(x, self.W_enc, self.b_enc), self.threshold)

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """See SparseAutoencoder."""
        return _jump(self._affine(x, self.W_enc[:, latents], self.b_enc[latents]), self.threshold[latents])


def _jump(pre: Float[Tensor, "vector latent"], threshold: Float[Tensor, " latent"]) -> Float[Tensor, "vector latent"]:
    return torch.where(pre > threshold, pre, 0.0).relu_()


class JumpRelu(Architecture):
    """Training with a threshold per latent and a penalty that draws the mean number of active latents to `k`.

    The loss is the squared error, divided by the variance of the vectors, plus `l0` (L0 / k - 1)^2. Steps have no
    gradient; the paper's pseudo-derivatives put one on the entries within half a bandwidth of the threshold.
    Thresholds are trained as logarithms, so they stay above 0.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_k(recipe)

    def own(self, length: float) -> Mapping[str, Float[Tensor, " latent"]]:
        """See Architecture."""
        return {"log_threshold": torch.full((self.recipe.width,), _BANDWIDTH * length).log()}

    def step(self, forward: Forward) -> Step:
        """See Architecture."""
        weights, count, unit = forward.weights, forward.vectors, forward.length**2
        log_threshold = weights.own["log_threshold"]
        threshold = log_threshold.exp()
        width = _BANDWIDTH * forward.length
        code = code_where(forward.pre > threshold, forward.pre)
        fired = code.firings()
        error = forward.error(code)
        slope = error * (2 / (count * unit))
        gradients = Gradients(weights, forward.centred)
        gradients.decoding(code, slope)
        gradients.encoding(code, code.sampled_product(slope, weights.decoder))
        gradients.finish(slope.sum(dim=0))
        excess = forward.peers.total(fired.sum().to(slope.dtype)) / (count * self.recipe.k) - 1
        weight = self.recipe.l0 * forward.penalty
        by_step = 2 * weight * excess / (count * self.recipe.k)
        distance = forward.pre.sub_(threshold).abs_()  # the code has its own values: the room may be used again
        edge = places_where(distance < width / 2, distance)
        by_value = edge.sampled_product(slope, weights.decoder)
        by_threshold = edge.sums(by_value) * threshold + by_step * edge.sums(edge.values)
        gradient_of(log_threshold).copy_(by_threshold * (-threshold / width))
        squares = forward.total_square(error)
        return Step(fired, squares / forward.variance, squares / (count * unit) + weight * excess.square())

    def export(self, weights: Weights, scale: float) -> JumpReluSae:
        """See Architecture."""
        threshold = weights.own["log_threshold"].exp() / scale
        return JumpReluSae(**folded(weights, scale), apply_b_dec_to_input=True, threshold=threshold)
