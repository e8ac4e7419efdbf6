"""BatchTopK: the k x batch largest pre-activations of a whole batch are active (Bussmann et al. 2024, BatchTopK SAEs).

For use, the selection becomes a threshold that every vector meets by itself: JumpReLU with the running mean of the
smallest activation that was selected in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.topk import Selection
from sae.codes.sparse import SparseCode, true_positions
from sae.errors import SaeError
from sae.recipe import Recipe
from sae.training.parallel import Peers
from sae.training.weights import Weights, folded

_STRIDE = 61
# One pre-activation in this many is looked at to bound the threshold from below; prime, so that a sample runs through
# all latents. A bad sample costs time, never exactness.

_GUESS = 0.95
# Share of the last batch's least activation that the next one's entries must exceed to be ranked.

_MEMORY = 0.95
# The threshold's running mean looks back over about twenty batches, so that it is that of the final weights.


def positions_of_largest(
    flat: Float[Tensor, " entry"], count: int, peers: Peers, guess: float = 0.0
) -> tuple[Int[Tensor, " active"], Float[Tensor, " active"]]:
    """Ascending positions of the `count` largest entries that are above 0, and of all that tie with the last of them;
    and these entries.

    Exact, without sorting all entries: only those above a bound are ranked. `guess` is taken for the bound if somewhat
    more than `count` entries exceed it; else a sample gives one; and if that misleads, every entry above 0 is ranked.
    `count`, bounds and rank are those of all processes together; the positions are this one's.
    """
    for bound in _bounds(flat, count, peers, guess):
        positions = true_positions(flat > bound)
        values = flat[positions]
        found = peers.gather(values)
        if found.shape[0] >= count or bound == 0.0:
            break
    if found.shape[0] <= count:
        return positions, values
    kept = values >= found.kthvalue(found.shape[0] - count + 1).values
    return positions[kept], values[kept]


def _bounds(flat: Float[Tensor, " entry"], count: int, peers: Peers, guess: float) -> Iterator[float]:
    """Bounds to try one after the other; the last is 0."""
    if guess > 0:
        yield guess
    yield _lower_bound(peers.gather(flat[::_STRIDE]), count / (flat.shape[0] * peers.size))
    yield 0.0


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
        self._least = 0.0  # in the last batch: it bounds the next one's selection, and changes nothing but its time

    @property
    def threshold(self) -> float:
        """Running mean of the smallest selected activation, in the scale of training; recent batches count more."""
        if not self._weight:
            raise SaeError("no latent has been active in training", "check that the vectors differ from each other")
        return self._sum / self._weight

    def select(self, pre: Float[Tensor, "vector latent"], peers: Peers) -> SparseCode:
        """See Selection."""
        vectors = pre.shape[0] * peers.size
        positions, values = positions_of_largest(pre.reshape(-1), self.recipe.k * vectors, peers, _GUESS * self._least)
        code = SparseCode.at_positions(positions, values, pre.shape[0], pre.shape[1])
        least = peers.gather(values.min().reshape(1) if positions.shape[0] else values)
        if least.shape[0]:
            self._least = float(least.min())
            # Both sums start at 0, so their quotient is a mean from the first batch on.
            self._sum = _MEMORY * self._sum + (1 - _MEMORY) * self._least
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
