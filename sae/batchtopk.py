"""BatchTopK: the k x batch largest pre-activations of a whole batch are active (Bussmann et al. 2024, BatchTopK SAEs).

For use, the selection becomes a threshold that every vector meets by itself: JumpReLU with the running mean of the
smallest activation that was selected in training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.errors import SaeError
from sae.jumprelu import JumpReluSae
from sae.parallel import Peers
from sae.recipe import Recipe
from sae.sparse import SparseCode, true_positions
from sae.topk import Selection
from sae.weights import Weights, folded

_STRIDE = 61
# One pre-activation in this many is looked at to bound the threshold from below; prime, so that a sample runs through
# all latents. A bad sample costs time, never exactness.

_MEMORY = 0.95
# The threshold's running mean looks back over about twenty batches, so that it is that of the final weights.


def positions_of_largest(flat: Float[Tensor, " entry"], count: int, peers: Peers) -> Int[Tensor, " active"]:
    """Ascending positions of the `count` largest entries that are above 0, and of all that tie with the last of them.

    Exact, without sorting all entries: a sample gives a bound that slightly more than `count` entries exceed, and only
    those are ranked. If the sample misleads, every entry above 0 is ranked. `count`, bound and rank are those of all
    processes together; the positions are this one's.
    """
    sample = peers.gather(flat[::_STRIDE])
    bound = _lower_bound(sample, count / (flat.shape[0] * peers.size))
    positions = true_positions(flat > bound)
    found = peers.gather(flat[positions])
    if bound > 0 and found.shape[0] < count:
        positions = true_positions(flat > 0)
        found = peers.gather(flat[positions])
    if found.shape[0] <= count:
        return positions
    last = found.kthvalue(found.shape[0] - count + 1).values
    return positions[flat[positions] >= last]


def _lower_bound(sample: Float[Tensor, " entry"], share: float) -> float:
    """A value that somewhat more than `share` of all entries exceed, judged by a sample; never below 0."""
    expected = share * sample.shape[0]
    rank = math.ceil(expected + 4 * math.sqrt(expected)) + 1
    if rank > sample.shape[0]:
        return 0.0
    return max(float(sample.kthvalue(sample.shape[0] - rank + 1).values), 0.0)


class BatchTopK(Selection):
    """Training with a fixed number of active latents per batch: vectors that are hard to describe get more."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._sum = self._weight = 0.0

    @property
    def threshold(self) -> float:
        """Running mean of the smallest selected activation, in the scale of training; recent batches count more."""
        if not self._weight:
            raise SaeError("no latent has been active in training", "check that the vectors differ from each other")
        return self._sum / self._weight

    def select(self, pre: Float[Tensor, "vector latent"], peers: Peers) -> SparseCode:
        """See Selection."""
        vectors = pre.shape[0] * peers.size
        positions = positions_of_largest(pre.reshape(-1), self.recipe.k * vectors, peers)
        code = SparseCode.of_positions(pre, positions)
        least = peers.gather(code.values.min().reshape(1) if positions.shape[0] else code.values)
        if least.shape[0]:
            # Both sums start at 0, so their quotient is a mean from the first batch on.
            self._sum = _MEMORY * self._sum + (1 - _MEMORY) * float(least.min())
            self._weight = _MEMORY * self._weight + (1 - _MEMORY)
        return code

    def export(self, weights: Weights, scale: float) -> JumpReluSae:
        """See Architecture."""
        tensors = folded(weights, scale)
        threshold = torch.full_like(tensors["b_enc"], self.threshold / scale)
        return JumpReluSae(**tensors, apply_b_dec_to_input=True, threshold=threshold)

    def state(self) -> dict[str, float]:
        """See Architecture."""
        return {"sum": self._sum, "weight": self._weight}

    def restore(self, state: Mapping[str, float]) -> None:
        """See Architecture."""
        self._sum, self._weight = state["sum"], state["weight"]
