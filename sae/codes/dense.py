"""A code with a value for every latent of every vector: the faster form while a large share of them is active."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.codes.code import Code
from sae.codes.sparse import SparseCode, true_positions

_SPARSE_BELOW = 1 / 16
"""Share of active latents from which on the sparse products are slower than the dense ones, on a processor."""


@dataclass(frozen=True, eq=False)
class DenseCode(Code):
    """Values are matrices with zeros where a latent is not active."""

    values: Float[Tensor, "vector latent"]

    def with_values(self, values: Float[Tensor, "vector latent"]) -> DenseCode:
        """See Code."""
        return DenseCode(values)

    def times(
        self,
        matrix: Float[Tensor, "latent column"],
        plus: Float[Tensor, "vector column"] | None = None,
        plus_scale: float = 1.0,
        out: Float[Tensor, "vector column"] | None = None,
    ) -> Float[Tensor, "vector column"]:
        """See Code."""
        if plus is None:
            return self.values @ matrix
        return torch.addmm(plus, self.values, matrix, beta=plus_scale, out=out)

    def sampled_product(
        self, left: Float[Tensor, "vector column"], right: Float[Tensor, "latent column"]
    ) -> Float[Tensor, "vector latent"]:
        """See Code."""
        return (left @ right.t()).mul_(self.values > 0)

    def accumulate(
        self,
        values: Float[Tensor, "vector latent"],
        matrix: Float[Tensor, "vector column"],
        into: Float[Tensor, "latent column"],
        keep: bool,
    ) -> None:
        """See Code."""
        torch.addmm(into, values.t(), matrix, beta=1.0 if keep else 0.0, out=into)

    def spread(self, per_latent: Float[Tensor, " latent"]) -> Float[Tensor, " latent"]:
        """See Code: numbers per latent go with a matrix as they are."""
        return per_latent

    def sums(self, values: Float[Tensor, "vector latent"]) -> Float[Tensor, " latent"]:
        """See Code."""
        return values.sum(dim=0)

    def row_sums(self) -> Float[Tensor, " vector"]:
        """See Code."""
        return self.values.sum(dim=1)

    def firings(self) -> Int[Tensor, " latent"]:
        """See Code."""
        return (self.values > 0).sum(dim=0)


def code_where(mask: Bool[Tensor, "vector latent"], values: Float[Tensor, "vector latent"]) -> Code:
    """A code with these values where `mask` is true, in the form that is faster for so many."""
    if _many(mask):
        return DenseCode(torch.where(mask, values, 0.0))
    return SparseCode.of_positions(values, true_positions(mask.reshape(-1)))


def places_where(mask: Bool[Tensor, "vector latent"], like: Float[Tensor, "vector latent"]) -> Code:
    """A code with the value 1 where `mask` is true; of the type of `like`."""
    if _many(mask):
        return DenseCode(mask.to(like.dtype))
    code = SparseCode.of_positions(like, true_positions(mask.reshape(-1)))
    return code.with_values(torch.ones_like(code.values))


def _many(mask: Bool[Tensor, "vector latent"]) -> bool:
    return int(mask.sum()) > _SPARSE_BELOW * mask.numel()
