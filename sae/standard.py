"""Standard (ReLU, trained with an L1 penalty): Bricken et al. 2023, Towards Monosemanticity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from sae.base import SparseAutoencoder


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
