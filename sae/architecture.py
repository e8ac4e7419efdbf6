"""What an architecture with a sparse selection adds to the shared training step: one small interface."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.sparse import SparseCode
from sae.weights import Weights


class Architecture(ABC):
    """Chooses the active latents of a training batch, and knows the form in which the result is used."""

    def __init__(self, k: int) -> None:
        self.k = k
        """Active latents per vector (BatchTopK: on average)."""

    @abstractmethod
    def select(self, pre: Float[Tensor, "vector latent"]) -> SparseCode:
        """The code of a training batch, out of its pre-activations. Entries that are not above 0 count as inactive.

        May keep statistics of the batch, in its own state, that `export` needs.
        """

    @abstractmethod
    def export(self, weights: Weights, scale: float) -> SparseAutoencoder:
        """The autoencoder to use, for raw vectors, when training saw `scale` times the vectors."""
