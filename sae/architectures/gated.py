"""Gated: whether a latent is active and how much are decided apart (Rajamanoharan et al. 2024, Gated SAEs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.interface import Architecture
from sae.architectures.step import Forward, Step
from sae.architectures.weights import Gradients, Weights, folded, gradient_of
from sae.base import SparseAutoencoder
from sae.codes.dense import code_where


@dataclass(frozen=True, eq=False)
class GatedSae(SparseAutoencoder):
    """Activation = relu(u * exp(r_mag) + b_mag) where u + b_gate is above 0, else 0; u is the encoder's product."""

    b_gate: Float[Tensor, " latent"]
    b_mag: Float[Tensor, " latent"]
    r_mag: Float[Tensor, " latent"]

    architecture: ClassVar[str] = "gated"
    SHAPES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **SparseAutoencoder.SHAPES,
        "b_gate": ("d_sae",),
        "b_mag": ("d_sae",),
        "r_mag": ("d_sae",),
    }

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """See SparseAutoencoder."""
        gate = self._affine(x, self.W_enc, self.b_gate)
        return _gated(gate, self.b_gate, self.b_mag, self.r_mag)

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """See SparseAutoencoder."""
        gate = self._affine(x, self.W_enc[:, latents], self.b_gate[latents])
        return _gated(gate, self.b_gate[latents], self.b_mag[latents], self.r_mag[latents])


def _gated(
    gate: Float[Tensor, "vector latent"],
    b_gate: Float[Tensor, " latent"],
    b_mag: Float[Tensor, " latent"],
    r_mag: Float[Tensor, " latent"],
) -> Float[Tensor, "vector latent"]:
    # The magnitude path shares the encoder's product: one matrix product serves both.
    magnitude = ((gate - b_gate) * r_mag.exp() + b_mag).relu_()
    return torch.where(gate > 0, magnitude, 0.0)


class Gated(Architecture):
    """Training with a penalty on the gates alone, which describe the vectors a second time by themselves.

    With u = c W_enc and gates pi = u + b_gate the loss is |c - f W_dec|^2 + lambda |relu(pi)|_1 + |c - relu(pi) W|^2,
    where W is W_dec held constant; divided by the variance of the vectors, lambda as in `Standard`. The trained b_enc
    is b_gate.
    """

    def own(self, length: float) -> Mapping[str, Float[Tensor, " latent"]]:
        """See Architecture."""
        return {"b_mag": torch.zeros(self.recipe.width), "r_mag": torch.zeros(self.recipe.width)}

    def step(self, forward: Forward) -> Step:
        """See Architecture."""
        weights, count, unit = forward.weights, forward.vectors, forward.length**2
        b_mag, r_mag = weights.own["b_mag"], weights.own["r_mag"]
        gates = code_where(forward.pre > 0, forward.pre)
        product = gates.values - gates.spread(weights.b_enc)
        stretched = product * gates.spread(r_mag.exp())
        code = gates.with_values(((stretched + gates.spread(b_mag)) * (gates.values > 0)).relu_())
        error = forward.error(code)
        second = gates.times(weights.decoder, plus=forward.centred, plus_scale=-1.0)
        price = self.recipe.l1 * forward.penalty * forward.length
        share = 2 / (count * unit)
        gradients = Gradients(weights, forward.centred)
        gradients.decoding(code, error * share)
        by_magnitude = code.sampled_product(error * share, weights.decoder)
        by_gate = gates.sampled_product(second * share, weights.decoder)
        by_gate.add_(gates.values > 0, alpha=price / (count * unit))
        gradients.encoding(gates, by_gate + by_magnitude * gates.spread(r_mag.exp()))
        gradient_of(b_mag).copy_(gates.sums(by_magnitude))
        gradient_of(r_mag).copy_(gates.sums(by_magnitude * stretched))
        gradients.finish(error.sum(dim=0) * share, gates.sums(by_gate))
        squares = forward.total_square(error)
        penalty = price * forward.peers.total(gates.row_sums().sum())
        loss = (squares + penalty + forward.total_square(second)) / (count * unit)
        return Step(code.firings(), squares / forward.variance, loss)

    def export(self, weights: Weights, scale: float) -> GatedSae:
        """See Architecture."""
        tensors = folded(weights, scale)
        return GatedSae(
            W_enc=tensors["W_enc"],
            W_dec=tensors["W_dec"],
            b_dec=tensors["b_dec"],
            apply_b_dec_to_input=True,
            b_gate=tensors["b_enc"],
            b_mag=weights.own["b_mag"] / scale,
            r_mag=weights.own["r_mag"].clone(),
        )
