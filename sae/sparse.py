"""The sparse code of a batch: the active latents of each vector, and the three products that training needs.

Rows are ragged (BatchTopK gives each vector as many latents as it needs), so the form is compressed sparse rows. The
dense code [vector, latent] is never built: decoding and weight gradients are sparse-times-dense products, and the
gradient with regard to the active values is a product sampled at those places only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SparseCode:
    """Activations of the latents that are active in each of a batch of vectors, vector after vector."""

    starts: Int[Tensor, " bound"]
    """Where each vector's entries start in `latents` and `values`; one more bound than there are vectors."""
    latents: Int[Tensor, " active"]
    """Latent of each entry; no latent comes twice in a vector. 32-bit, which is what the sparse kernels take."""
    values: Float[Tensor, " active"]
    """Activation of each entry, at least 0; an entry of 0 is kept by TopK, which has `k` entries in every vector."""
    width: int
    """Latents in all."""

    @staticmethod
    def of_rows(latents: Int[Tensor, "vector entry"], values: Float[Tensor, "vector entry"], width: int) -> SparseCode:
        """A code with the same number of entries in every vector."""
        vectors, entries = latents.shape
        starts = torch.arange(0, vectors * entries + 1, max(entries, 1), dtype=torch.int32, device=latents.device)
        if not entries:
            starts = torch.zeros(vectors + 1, dtype=torch.int32, device=latents.device)
        return SparseCode(starts, latents.reshape(-1).to(torch.int32), values.reshape(-1), width)

    @staticmethod
    def of_positions(dense: Float[Tensor, "vector latent"], positions: Int[Tensor, " active"]) -> SparseCode:
        """A code out of the entries at ascending flat `positions` of a dense matrix."""
        vectors, width = dense.shape
        rows = torch.div(positions, width, rounding_mode="floor")
        starts = _bounds(rows, vectors)
        return SparseCode(starts, (positions - rows * width).to(torch.int32), dense.reshape(-1)[positions], width)

    @staticmethod
    def of_dense(dense: Float[Tensor, "vector latent"]) -> SparseCode:
        """A code out of a dense matrix of activations: its entries above 0."""
        return SparseCode.of_positions(dense, (dense.reshape(-1) > 0).nonzero().squeeze(1))

    @property
    def vectors(self) -> int:
        """How many vectors the code describes."""
        return self.starts.shape[0] - 1

    @property
    def active(self) -> Bool[Tensor, " active"]:
        """Which entries are above 0."""
        return self.values > 0

    @cached_property
    def rows(self) -> Int[Tensor, " active"]:
        """Vector of each entry."""
        numbers = torch.arange(self.vectors, dtype=torch.int32, device=self.starts.device)
        return numbers.repeat_interleave(self.starts.diff(), output_size=self.latents.shape[0])

    def firings(self) -> Int[Tensor, " latent"]:
        """In how many vectors each latent is active."""
        return torch.bincount(self.latents[self.active], minlength=self.width)

    def dense(self) -> Float[Tensor, "vector latent"]:
        """The activations of every latent, zeros elsewhere."""
        full = self.values.new_zeros(self.vectors, self.width)
        full[self.rows.long(), self.latents.long()] = self.values
        return full

    def times(
        self,
        matrix: Float[Tensor, "latent column"],
        plus: Float[Tensor, "vector column"] | None = None,
        plus_scale: float = 1.0,
    ) -> Float[Tensor, "vector column"]:
        """The product code x matrix, plus `plus_scale` times `plus` if that is given."""
        left = _csr(self.starts, self.latents, self.values, (self.vectors, self.width))
        if plus is None:
            return torch.mm(left, matrix)
        return torch.addmm(plus, left, matrix, beta=plus_scale)

    def sampled_product(
        self, left: Float[Tensor, "vector column"], right: Float[Tensor, "latent column"]
    ) -> Float[Tensor, " active"]:
        """Entries of left x right^T at the places of the code's entries that are above 0, and 0 at the others."""
        places = _csr(self.starts, self.latents, self.values, (self.vectors, self.width))
        product: Tensor = torch.sparse.sampled_addmm(places, left, right.t(), beta=0.0).values()
        return product.mul_(self.active)


class ByLatent:
    """The entries of a code sorted by latent: sums over vectors, without scatter, so in one fixed order."""

    def __init__(self, code: SparseCode) -> None:
        self._order = torch.argsort(code.latents, stable=True)
        self._starts = _bounds(code.latents, code.width)
        self._rows = code.rows[self._order]
        self._shape = (code.width, code.vectors)

    def accumulate(
        self,
        values: Float[Tensor, " active"],
        matrix: Float[Tensor, "vector column"],
        into: Float[Tensor, "latent column"],
        keep: bool,
    ) -> None:
        """Write code^T x matrix into `into`, with `values` for the code's; added to what is there if `keep`."""
        left = _csr(self._starts, self._rows, values[self._order], self._shape)
        torch.addmm(into, left, matrix, beta=1.0 if keep else 0.0, out=into)


def _bounds(groups: Int[Tensor, " entry"], count: int) -> Int[Tensor, " bound"]:
    """Where each of `count` groups starts among entries sorted by group."""
    starts = torch.zeros(count + 1, dtype=torch.int32, device=groups.device)
    starts[1:] = torch.bincount(groups, minlength=count).cumsum(0)
    return starts


def _csr(
    starts: Int[Tensor, " bound"],
    columns: Int[Tensor, " entry"],
    values: Float[Tensor, " entry"],
    shape: tuple[int, int],
) -> Tensor:
    with warnings.catch_warnings():
        # torch calls the layout beta once per process; the products used here are compared with dense twins in tests.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)
