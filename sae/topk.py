"""TopK: the k largest pre-activations of each vector are active (Gao et al. 2024, Scaling and evaluating SAEs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from sae.architecture import Architecture
from sae.base import SparseAutoencoder
from sae.sparse import SparseCode
from sae.weights import Weights, folded


def largest_per_row(pre: Float[Tensor, "vector latent"], k: int) -> SparseCode:
    """The k largest of each row, negative ones as 0."""
    values, latents = pre.topk(k, dim=1, sorted=False)
    return SparseCode.of_rows(latents, values.relu_(), pre.shape[1])


@dataclass(frozen=True, eq=False)
class TopKSae(SparseAutoencoder):
    """Activation = relu(pre-activation) for the k largest pre-activations of a vector, else 0."""

    b_enc: Float[Tensor, " latent"]
    k: int

    architecture: ClassVar[str] = "topk"
    SHAPES: ClassVar[Mapping[str, tuple[str, ...]]] = {**SparseAutoencoder.SHAPES, "b_enc": ("d_sae",)}

    @property
    def settings(self) -> dict[str, Any]:
        """See SparseAutoencoder."""
        return {"k": self.k, "rescale_acts_by_decoder_norm": False}

    def encode(self, x: Float[Tensor, "vector d_in"]) -> Float[Tensor, "vector latent"]:
        """See SparseAutoencoder."""
        return self.encode_sparse(x).dense()

    def encode_sparse(self, x: Float[Tensor, "vector d_in"]) -> SparseCode:
        """See SparseAutoencoder. Every vector has k entries, some of which may be 0."""
        return largest_per_row(self._affine(x, self.W_enc, self.b_enc), self.k)

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """See SparseAutoencoder. Costs a whole `encode`: whether a latent is active depends on all the others."""
        return self.encode(x)[:, latents]


class TopK(Architecture):
    """Training with a fixed number of active latents per vector."""

    def select(self, pre: Float[Tensor, "vector latent"]) -> SparseCode:
        """See Architecture."""
        return largest_per_row(pre, self.k)

    def export(self, weights: Weights, scale: float) -> TopKSae:
        """See Architecture."""
        return TopKSae(**folded(weights, scale), apply_b_dec_to_input=True, k=self.k)
