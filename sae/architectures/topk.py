"""TopK: the k largest pre-activations of each vector are active (Gao et al. 2024, Scaling and evaluating SAEs)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.interface import Architecture, check_k
from sae.architectures.largest import largest_per_vector
from sae.architectures.revival import revive
from sae.architectures.step import Forward, Step
from sae.architectures.weights import Gradients, Weights, folded
from sae.base import SparseAutoencoder
from sae.codes.sparse import SparseCode
from sae.recipe import Recipe


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
        return largest_per_vector([self._centred(x) @ self.W_enc], self.b_enc, self.k)

    def encode_latents(
        self, x: Float[Tensor, "vector d_in"], latents: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "vector chosen"]:
        """See SparseAutoencoder. Costs a whole `encode`: whether a latent is active depends on all the others."""
        return self.encode(x)[:, latents]


REVIVED = 2
"""Dead latents that describe the error of a vector, in multiples of k."""


class Selection(Architecture):
    """Training on the share of variance left, with a code that is selected out of the pre-activations."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_k(recipe)

    @abstractmethod
    def select(self, forward: Forward) -> SparseCode:
        """The code of a training batch. Entries that are not above 0 count as inactive."""

    def step(self, forward: Forward) -> Step:
        """With e = Z W_dec - c the loss is |e|^2 / |x - mean x|^2 (Gao et al. divide likewise), plus AuxK."""
        code = self.select(forward)
        decoder = forward.weights.decoder
        error = forward.error(code)
        unexplained = forward.total_square(error) / forward.variance
        slope = 2 / forward.variance  # of the loss, in errors: put to what is sparse
        gradients = Gradients(forward.weights, forward.centred)
        gradients.decoding(code, error, factor=slope)
        gradients.encoding(code, code.sampled_product(error, decoder).mul_(slope))
        loss = unexplained + revive(forward, error, REVIVED * self.recipe.k, gradients)
        gradients.finish(error.sum(dim=0) * slope)
        return Step(code.firings(), unexplained, loss)


class TopK(Selection):
    """Training with a fixed number of active latents per vector."""

    encoder_start = 0.5

    def select(self, forward: Forward) -> SparseCode:
        """See Selection."""
        return largest_per_vector(forward.blocks(), forward.weights.b_enc, self.recipe.k)

    def export(self, weights: Weights, scale: float) -> TopKSae:
        """See Architecture."""
        return TopKSae(**folded(weights, scale), apply_b_dec_to_input=True, k=self.recipe.k)
