"""The sparse code of a batch: the active latents of each vector, and the three products that training needs.

Rows are ragged (BatchTopK gives each vector as many latents as it needs), so the form is compressed sparse rows. The
dense code [vector, latent] is never built: decoding and weight gradients are sparse-times-dense products, and the
gradient with regard to the active values is a product sampled at those places only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from sae.codes.code import Code
from sae.codes.compiled import sorted_by_latent


@dataclass(frozen=True, eq=False)
class SparseCode(Code):
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
    def joined(codes: Sequence[SparseCode]) -> SparseCode:
        """The vectors of one code after those of the other; at least one code, all of the same width."""
        if len(codes) == 1:
            return codes[0]
        before = accumulate((code.latents.shape[0] for code in codes), initial=0)
        starts = [code.starts[:-1] + first for code, first in zip(codes, before, strict=False)]
        latents, values = torch.cat([code.latents for code in codes]), torch.cat([code.values for code in codes])
        starts.append(torch.full_like(codes[0].starts[:1], latents.shape[0]))
        return SparseCode(torch.cat(starts), latents, values, codes[0].width)

    @staticmethod
    def of_positions(dense: Float[Tensor, "vector latent"], positions: Int[Tensor, " active"]) -> SparseCode:
        """A code out of the entries at ascending flat `positions` of a dense matrix."""
        vectors, width = dense.shape
        rows = torch.div(positions, width, rounding_mode="floor")
        starts = _bounds(rows, vectors)
        latents = (positions - rows * width).to(torch.int32)
        return SparseCode(starts, latents, dense.reshape(-1)[positions], width)

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
        if self.latents.device.type != "cpu":
            return _totals(self.latents, self.active.to(torch.int64), self.width)
        zeros = torch.bincount(self.latents[~self.active], minlength=self.width)
        return self._by_latent.starts.diff() - zeros

    def dense(self) -> Float[Tensor, "vector latent"]:
        """The activations of every latent, zeros elsewhere."""
        full = self.values.new_zeros(self.vectors, self.width)
        full[self.rows.long(), self.latents.long()] = self.values
        return full

    def with_values(self, values: Float[Tensor, " active"]) -> SparseCode:
        """See Code."""
        return SparseCode(self.starts, self.latents, values, self.width)

    def times(
        self,
        matrix: Float[Tensor, "latent column"],
        plus: Float[Tensor, "vector column"] | None = None,
        plus_scale: float = 1.0,
        out: Float[Tensor, "vector column"] | None = None,
    ) -> Float[Tensor, "vector column"]:
        """See Code."""
        left = _csr(self.starts, self.latents, self.values, (self.vectors, self.width))
        if plus is None:
            return torch.mm(left, matrix)
        return torch.addmm(plus, left, matrix, beta=plus_scale, out=out)

    def sampled_product(
        self, left: Float[Tensor, "vector column"], right: Float[Tensor, "latent column"]
    ) -> Float[Tensor, " active"]:
        """Entries of left x right^T at the places of the code's entries that are above 0, and 0 at the others."""
        places = _csr(self.starts, self.latents, self.values, (self.vectors, self.width))
        product: Tensor = torch.sparse.sampled_addmm(places, left, right.t(), beta=0.0).values()
        return product.mul_(self.active)

    @cached_property
    def _by_latent(self) -> _ByLatent:
        if self.latents.device.type == "cpu":
            return _ByLatent(*sorted_by_latent(self.starts, self.latents, self.width))
        latents, order = torch.sort(self.latents, stable=True)
        return _ByLatent(order, _bounds(latents, self.width), self.rows[order])

    def accumulate(
        self,
        values: Float[Tensor, " active"],
        matrix: Float[Tensor, "vector column"],
        into: Float[Tensor, "latent column"],
        keep: bool,
    ) -> None:
        """See Code. Sums over vectors, without scatter, so in one fixed order."""
        by = self._by_latent
        left = _csr(by.starts, by.rows, values.index_select(0, by.order), (self.width, self.vectors))
        torch.addmm(into, left, matrix, beta=1.0 if keep else 0.0, out=into)

    def spread(self, per_latent: Float[Tensor, " latent"]) -> Float[Tensor, " active"]:
        """See Code."""
        return per_latent.index_select(0, self.latents)

    def sums(self, values: Float[Tensor, " active"]) -> Float[Tensor, " latent"]:
        """See Code."""
        return _totals(self.latents, values, self.width)

    def row_sums(self) -> Float[Tensor, " vector"]:
        """See Code."""
        return _totals(self.rows, self.values, self.vectors)

    def where(self, kept: Bool[Tensor, " active"]) -> SparseCode:
        """Some of the entries."""
        before = torch.zeros(kept.shape[0] + 1, dtype=torch.int32, device=kept.device)
        torch.cumsum(kept, 0, dtype=torch.int32, out=before[1:])
        places = kept.nonzero().squeeze(1)
        return SparseCode(before[self.starts], self.latents[places], self.values[places], self.width)

    def between(self, first: int, end: int) -> SparseCode:
        """The entries of latents `first` up to but not including `end`, which become 0, 1, ..."""
        inside = ((self.latents >= first) & (self.latents < end)).nonzero().squeeze(1)
        starts = _bounds(self.rows[inside], self.vectors)
        return SparseCode(starts, self.latents[inside] - first, self.values[inside], end - first)


@dataclass(frozen=True, eq=False)
class _ByLatent:
    """Where the entries of a code are when they are sorted by latent."""

    order: Int[Tensor, " active"]
    starts: Int[Tensor, " bound"]
    rows: Int[Tensor, " active"]


def true_positions(mask: Bool[Tensor, " entry"]) -> Int[Tensor, " true"]:
    """Ascending positions of a mask's true entries, which should be few: eight entries are looked at in one."""
    if mask.shape[0] % 8 or not mask.is_contiguous():
        return mask.nonzero().squeeze(1)
    words = mask.view(torch.int64).nonzero().squeeze(1)
    inside = mask.view(-1, 8)[words].view(-1).nonzero().squeeze(1)
    return words[inside >> 3] * 8 + (inside & 7)


def _bounds(groups: Int[Tensor, " entry"], count: int) -> Int[Tensor, " bound"]:
    """Where each of `count` groups starts among entries sorted by group. A GPU is not waited for."""
    if groups.device.type != "cpu":
        numbers = torch.arange(count + 1, dtype=groups.dtype, device=groups.device)
        return torch.searchsorted(groups, numbers, out_int32=True)
    starts = torch.zeros(count + 1, dtype=torch.int32, device=groups.device)
    starts[1:] = torch.bincount(groups, minlength=count).cumsum(0)
    return starts


def _totals(groups: Int[Tensor, " entry"], values: Shaped[Tensor, " entry"], count: int) -> Shaped[Tensor, " group"]:
    """The sum of the values of each of `count` groups. A GPU is not waited for, as it would be by bincount."""
    if groups.device.type != "cpu":
        return values.new_zeros(count).index_add_(0, groups, values)
    return torch.bincount(groups, weights=values, minlength=count).to(values.dtype)


def _csr(
    starts: Int[Tensor, " bound"],
    columns: Int[Tensor, " entry"],
    values: Float[Tensor, " entry"],
    shape: tuple[int, int],
) -> Tensor:
    with warnings.catch_warnings():
        # torch calls the layout beta once per process; the products used here are compared with dense twins in tests.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        # Some versions (2.11) say so of every tensor that is not checked, also where that was asked for.
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(starts, columns, values, size=shape, check_invariants=False)
