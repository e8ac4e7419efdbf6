"""The survey: density, peak, contexts and value histogram of every unit, in one pass, in fixed memory."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from autointerp.units.sampling import Survey

TOP = 20
"""Top contexts that decide the single-token share (Anthropic 2023: all 20 top examples share the peak token)."""

_SHIFT = 16
_FLOOR = int(np.float32(2.0**-24).view(np.int32)) >> _SHIFT
_BUCKETS = (int(np.float32(2.0**16).view(np.int32)) >> _SHIFT) - _FLOOR + 1


class TopContexts:
    """The `k` contexts with the highest peaks of each unit; equal peaks go to the earlier context."""

    def __init__(self, units: int, k: int) -> None:
        self.peaks: Float[Tensor, "unit rank"] = torch.zeros(units, k)
        """0 where a unit has fewer than `k` active contexts."""
        self.contexts: Int[Tensor, "unit rank"] = torch.full((units, k), -1, dtype=torch.int64)
        self.tokens: Int[Tensor, "unit rank"] = torch.full((units, k), -1, dtype=torch.int64)
        """Token id under the peak."""

    def to(self, device: torch.device) -> None:
        """Go on there."""
        self.peaks, self.contexts, self.tokens = (
            tensor.to(device) for tensor in (self.peaks, self.contexts, self.tokens)
        )

    def add(
        self,
        peaks: Float[Tensor, "context unit"],
        contexts: Int[Tensor, " context"],
        tokens: Int[Tensor, "context unit"],
    ) -> Int[Tensor, "unit rank"]:
        """Merge a batch; return, per place, where it came from: an old rank, or k + its row in the batch."""
        k = self.peaks.shape[1]
        peaks_all = torch.cat([self.peaks, peaks.T], dim=1)
        order = peaks_all.argsort(dim=1, descending=True, stable=True)[:, :k]
        rows = contexts.expand(peaks.shape[1], -1)
        self.peaks = peaks_all.gather(1, order)
        live = self.peaks > 0
        self.contexts = torch.cat([self.contexts, rows], dim=1).gather(1, order).where(live, torch.tensor(-1))
        self.tokens = torch.cat([self.tokens, tokens.T], dim=1).gather(1, order).where(live, torch.tensor(-1))
        return order

    def single_token(self) -> Float[np.ndarray, " unit"]:
        """Share of the top contexts whose peak is on the most common peak token; 0 for a silent unit."""
        shares = np.zeros(len(self.tokens))
        for position, row in enumerate(self.tokens.cpu().numpy()):
            seen = row[row >= 0]
            if seen.size:
                shares[position] = np.unique(seen, return_counts=True)[1].max() / seen.size
        return shares


class Surveyor:
    """Adds batches of true activations up to a Survey. Memory: units x (top + buckets), whatever the tokens.

    It counts where the activations are: those of all units, many more than will be drawn, never leave a GPU.
    """

    def __init__(self, units: int, histogram: bool = False) -> None:
        self._active = torch.zeros(units, dtype=torch.int64)
        self._contexts = torch.zeros(units, dtype=torch.int64)
        self._top = TopContexts(units, TOP)
        self._tokens = 0
        self._histogram = torch.zeros(units, _BUCKETS, dtype=torch.int32) if histogram else None

    def add(
        self,
        values: Float[Tensor, "context token unit"],
        contexts: Int[Tensor, " context"],
        tokens: Int[Tensor, "context token"],
    ) -> None:
        """Count one batch."""
        self._to(values.device)
        contexts, tokens = contexts.to(values.device), tokens.to(values.device)
        active = values > 0
        self._active += active.sum(dim=(0, 1))
        peaks, where = values.max(dim=1)
        self._contexts += (peaks > 0).sum(dim=0)
        self._top.add(peaks, contexts, tokens.gather(1, where))
        self._tokens += tokens.numel()
        if self._histogram is not None:
            _count_buckets(self._histogram, values.reshape(-1, values.shape[-1]))

    def _to(self, device: torch.device) -> None:
        if self._active.device != device:
            self._active, self._contexts = self._active.to(device), self._contexts.to(device)
            self._top.to(device)
            self._histogram = None if self._histogram is None else self._histogram.to(device)

    def finish(self) -> Survey:
        """The statistics so far."""
        return Survey(
            density=self._active.cpu().numpy() / max(self._tokens, 1),
            contexts=self._contexts.cpu().numpy().copy(),
            peak=self._top.peaks[:, 0].cpu().numpy().astype(np.float64),
            single_token=self._top.single_token(),
        )

    def thresholds(self, density: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        """The value above which each unit is active on about `density` of the tokens.

        Read off a histogram whose buckets are 0.8% wide, so the density is met to within one bucket's count.
        """
        if self._histogram is None:
            raise ValueError("this surveyor kept no histogram")
        above = self._histogram.flip(1).cumsum(1).flip(1).cpu().numpy()
        target = np.round(density * self._tokens)[:, None]
        best = np.abs(above - target).argmin(axis=1)
        edges = ((np.arange(_BUCKETS, dtype=np.int32) + _FLOOR) << _SHIFT).view(np.float32).astype(np.float64)
        edges[0] = 0.0
        return np.asarray(np.nextafter(edges[best].astype(np.float32), np.float32(0)), dtype=np.float64)


def _count_buckets(histogram: Int[Tensor, "unit bucket"], values: Float[Tensor, "n unit"]) -> None:
    """Count positive values per unit and bucket, in place: the top bits of a float order it and are its bucket."""
    units, buckets = histogram.shape
    rows = torch.arange(units, dtype=torch.int32, device=values.device) * buckets - _FLOOR
    place = (values.contiguous().view(torch.int32) >> _SHIFT).clamp_(_FLOOR, _FLOOR + buckets - 1).add_(rows)
    found = place[values > 0]
    histogram.view(-1).index_add_(0, found, torch.ones_like(found))
