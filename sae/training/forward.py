"""The beginning of a training step, which all architectures share: the batch, centred and multiplied by the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.training.parallel import Peers
from sae.training.weights import Weights

Product = Callable[[Tensor, Weights, Tensor], Tensor]
"""Gives centred x encoder^T + b_enc; its last argument is room for that."""


@dataclass(frozen=True, eq=False)
class Forward:
    """What an architecture gets for its step."""

    weights: Weights
    centred: Float[Tensor, "vector d_in"]
    """Scaled vectors less b_dec."""
    pre: Float[Tensor, "vector latent"]
    """Pre-activations, in a buffer of the trainer's: an architecture may write into it."""
    dead: Int[Tensor, " dead"]
    """Latents that have long been silent."""
    penalty: float
    """Factor of the penalties at this step."""
    length: float
    """Root mean square distance of the scaled vectors from their mean, over the first batches."""
    peers: Peers

    @property
    def vectors(self) -> int:
        """In the batch of all processes."""
        return self.centred.shape[0] * self.peers.size

    @cached_property
    def variance(self) -> Float[Tensor, ""]:
        """Sum of squares about the mean of the batch (of all processes); above 0."""
        mean = self.peers.total(self.centred.sum(dim=0)) / self.vectors
        squares = self.total_square(self.centred) - self.vectors * mean.square().sum()
        return squares.clamp_min(torch.finfo(squares.dtype).tiny)

    def total_square(self, matrix: Float[Tensor, "vector d_in"]) -> Float[Tensor, ""]:
        """Sum of squares over the batch of all processes."""
        length: Tensor = torch.linalg.vector_norm(matrix)
        return self.peers.total(length.square())


@dataclass(frozen=True, eq=False)
class Step:
    """What a step found; its gradients are in the weights' buffers, those of this process's vectors."""

    fired: Int[Tensor, " latent"]
    """In how many of this process's vectors each latent is active."""
    unexplained: Float[Tensor, ""]
    """Share of the variance of the batch of all processes that the reconstruction leaves (FVU)."""
    loss: Float[Tensor, ""]
    """What the gradients, summed over all processes, are of."""
    losses: Float[Tensor, " vector"] | None = None
    """Of each of this process's vectors, where the architecture gives dead latents new weights."""


def silent_positions(silent: Int[Tensor, " latent"], after: int) -> Int[Tensor, " dead"]:
    """Latents that have been silent for `after` vectors."""
    mask: Bool[Tensor, " latent"] = silent >= after
    return mask.nonzero().squeeze(1)
