"""BatchTopK: the k x batch largest pre-activations of a whole batch are active (Bussmann et al. 2024, BatchTopK SAEs).

For use, the selection becomes a threshold that every vector meets by itself: JumpReLU with the running mean of the
smallest activation that was selected in training.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.architecture import Architecture
from sae.errors import SaeError
from sae.jumprelu import JumpReluSae
from sae.sparse import SparseCode
from sae.weights import Weights, folded

_STRIDE = 61
# One pre-activation in this many is looked at to bound the threshold from below; prime, so that a sample runs through
# all latents. A bad sample costs time, never exactness.

_MEMORY = 0.95
# The threshold's running mean looks back over about twenty batches, so that it is that of the final weights.


def positions_of_largest(flat: Float[Tensor, " entry"], count: int) -> Int[Tensor, " active"]:
    """Ascending positions of the `count` largest entries that are above 0, and of all that tie with the last of them.

    Exact, without sorting all entries: a sample gives a bound that slightly more than `count` entries exceed, and only
    those are ranked. If the sample misleads, every entry above 0 is ranked.
    """
    bound = _lower_bound(flat[::_STRIDE], count / flat.shape[0])
    positions = _true_positions(flat > bound)
    if bound > 0 and positions.shape[0] < count:
        positions = _true_positions(flat > 0)
    if positions.shape[0] <= count:
        return positions
    values = flat[positions]
    last = values.kthvalue(values.shape[0] - count + 1).values
    return positions[values >= last]


def _true_positions(mask: Bool[Tensor, " entry"]) -> Int[Tensor, " true"]:
    """Ascending positions of a mask's true entries, which should be few: eight entries are looked at in one."""
    if mask.shape[0] % 8:
        return mask.nonzero().squeeze(1)
    words = mask.view(torch.int64).nonzero().squeeze(1)
    inside = mask.view(-1, 8)[words].view(-1).nonzero().squeeze(1)
    return words[inside >> 3] * 8 + (inside & 7)


def _lower_bound(sample: Float[Tensor, " entry"], share: float) -> float:
    """A value that somewhat more than `share` of all entries exceed, judged by a sample; never below 0."""
    expected = share * sample.shape[0]
    rank = math.ceil(expected + 4 * math.sqrt(expected)) + 1
    if rank > sample.shape[0]:
        return 0.0
    return max(float(sample.kthvalue(sample.shape[0] - rank + 1).values), 0.0)


class BatchTopK(Architecture):
    """Training with a fixed number of active latents per batch: vectors that are hard to describe get more."""

    def __init__(self, k: int) -> None:
        super().__init__(k)
        self._sum = self._weight = 0.0

    @property
    def threshold(self) -> float:
        """Running mean of the smallest selected activation, in the scale of training; recent batches count more."""
        if not self._weight:
            raise SaeError("no latent has been active in training", "check that the vectors differ from each other")
        return self._sum / self._weight

    def select(self, pre: Float[Tensor, "vector latent"]) -> SparseCode:
        """See Architecture."""
        vectors, width = pre.shape
        positions = positions_of_largest(pre.reshape(-1), min(self.k, width) * vectors)
        code = SparseCode.of_positions(pre, positions)
        if positions.shape[0]:
            # Both sums start at 0, so their quotient is a mean from the first batch on.
            self._sum = _MEMORY * self._sum + (1 - _MEMORY) * float(code.values.min())
            self._weight = _MEMORY * self._weight + (1 - _MEMORY)
        return code

    def export(self, weights: Weights, scale: float) -> JumpReluSae:
        """See Architecture."""
        tensors = folded(weights, scale)
        threshold = torch.full_like(tensors["b_enc"], self.threshold / scale)
        return JumpReluSae(**tensors, apply_b_dec_to_input=True, threshold=threshold)
