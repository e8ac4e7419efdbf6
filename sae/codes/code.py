"""The code of a batch: which latents are active in which vectors, and how much. What training does with it is here;
how it is stored (`sparse`, `dense`) is not."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor


class Code(ABC):
    """Places in the matrix [vector, latent], with a value each.

    `values` has the form that suits the storage; sums and products by elements of two such are again values at the
    same places.
    """

    values: Tensor
    """Activations, at least 0."""

    @abstractmethod
    def with_values(self, values: Tensor) -> Code:
        """The same places with other values."""

    @abstractmethod
    def times(
        self,
        matrix: Float[Tensor, "latent column"],
        plus: Float[Tensor, "vector column"] | None = None,
        plus_scale: float = 1.0,
        out: Float[Tensor, "vector column"] | None = None,
    ) -> Float[Tensor, "vector column"]:
        """The product code x matrix, plus `plus_scale` times `plus` if that is given; then `out` may be given too."""

    @abstractmethod
    def sampled_product(self, left: Float[Tensor, "vector column"], right: Float[Tensor, "latent column"]) -> Tensor:
        """Values: those of left x right^T, 0 where the code's own value is not above 0."""

    @abstractmethod
    def accumulate(
        self,
        values: Tensor,
        matrix: Float[Tensor, "vector column"],
        into: Float[Tensor, "latent column"],
        keep: bool,
    ) -> None:
        """Write code^T x matrix into `into`, with `values` for the code's; added to what is there if `keep`."""

    @abstractmethod
    def spread(self, per_latent: Float[Tensor, " latent"]) -> Tensor:
        """Something that goes with values by elements: each place has its latent's number."""

    @abstractmethod
    def sums(self, values: Tensor) -> Float[Tensor, " latent"]:
        """Sum of these values over all vectors."""

    @abstractmethod
    def row_sums(self) -> Float[Tensor, " vector"]:
        """Sum of the code's values of each vector."""

    @abstractmethod
    def firings(self) -> Int[Tensor, " latent"]:
        """In how many vectors each latent is active."""
