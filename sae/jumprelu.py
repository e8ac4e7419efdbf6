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

from sae.base import SparseAutoencoder


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
