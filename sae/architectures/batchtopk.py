"""BatchTopK: the k x batch largest pre-activations of a whole batch are active (Bussmann et al. 2024, BatchTopK SAEs).

For use, the selection becomes a threshold that every vector meets by itself: JumpReLU with the running mean of the
smallest activation that was selected in training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.largest import largest_of_batch
from sae.architectures.step import Forward
from sae.architectures.topk import Selection
from sae.architectures.weights import Weights, folded
from sae.codes.sparse import SparseCode
from sae.errors import SaeError
from sae.recipe import Recipe

_GUESS = 0.95
# Share of the last batch's least activation that the next one's entries must exceed to be ranked.

_MEMORY = 0.95
# The threshold's running mean looks back over about twenty batches, so that it is that of the final weights.


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

    def select(self, forward: Forward) -> SparseCode:
        """See Selection."""
        peers, vectors = forward.peers, forward.vectors
        bias, count = forward.weights.b_enc, self.recipe.k * vectors
        code = largest_of_batch(forward.blocks, bias, count, vectors, peers, _GUESS * self._least)
        values = code.values
        least = peers.gather(values.min().reshape(1) if values.shape[0] else values)
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
