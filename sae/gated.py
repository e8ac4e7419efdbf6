"""Gated: whether a latent is active and how much are decided apart (Rajamanoharan et al. 2024, Gated SAEs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.base import SparseAutoencoder


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
