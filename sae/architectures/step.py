"""The beginning of a training step, which all architectures share: the batch, centred and multiplied by the encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae.architectures.weights import Weights
from sae.codes.code import Code
from sae.parallel import Peers

Product = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Gives vectors x rows^T; its last argument is room for that."""

_BLOCK, _GPU_BLOCK, _LEAST_VECTORS = 1 << 23, 1 << 28, 1024
# Entries of a block of products, and vectors that it has at least: small enough to be still in a processor's cache when
# it is selected from, large enough for the product to be fast. On a GPU it only has to fit into the memory.


class Room:
    """Memory that is used again at every step, and made when it is first needed."""

    def __init__(self, like: Tensor) -> None:
        self._all = like.new_empty(0)

    def matrix(self, rows: int, columns: int) -> Float[Tensor, "row column"]:
        """Of this shape; it holds whatever the last one was left with."""
        if self._all.shape[0] < rows * columns:
            self._all = self._all.new_empty(rows * columns)
        return self._all[: rows * columns].view(rows, columns)


class Rooms:
    """What a trainer keeps: fresh memory of this size would be cleared by the system at every step."""

    def __init__(self, like: Tensor) -> None:
        self.centred, self.products, self.errors = Room(like), Room(like), Room(like)


@dataclass(frozen=True, eq=False)
class Forward:
    """What an architecture gets for its step."""

    weights: Weights
    centred: Float[Tensor, "vector d_in"]
    """Scaled vectors less b_dec."""
    product: Product
    """How centred x encoder^T is made."""
    rooms: Rooms
    """For products and errors."""
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

    def error(self, code: Code) -> Float[Tensor, "vector d_in"]:
        """The reconstruction by a code less the vectors: code x decoder - centred. The next error takes its place."""
        room = self.rooms.errors.matrix(*self.centred.shape)
        return code.times(self.weights.decoder, plus=self.centred, plus_scale=-1.0, out=room)

    @cached_property
    def pre(self) -> Float[Tensor, "vector latent"]:
        """Pre-activations, in the room for products: an architecture may write into it, and takes no blocks then."""
        room = self.rooms.products.matrix(self.centred.shape[0], self.weights.width)
        return self.product(self.centred, self.weights.encoder, room).add_(self.weights.b_enc)

    def blocks(self, latents: Int[Tensor, " chosen"] | None = None) -> Iterator[Float[Tensor, "some latent"]]:
        """centred x encoder^T, without b_enc, of some vectors after the other; a block is gone when the next comes."""
        rows = self.weights.encoder if latents is None else self.weights.encoder[latents]
        entries = _BLOCK if rows.device.type == "cpu" else _GPU_BLOCK
        for part in torch.split(self.centred, max(_LEAST_VECTORS, entries // rows.shape[0])):
            yield self.product(part, rows, self.rooms.products.matrix(part.shape[0], rows.shape[0]))

    @cached_property
    def variance(self) -> Float[Tensor, ""]:
        """Sum of squares about the mean of the batch (of all processes); above 0."""
        mean = self.peers.total(self.centred.sum(dim=0)) / self.vectors
        squares = self.total_square(self.centred) - self.vectors * mean.square().sum()
        return squares.clamp_min(torch.finfo(squares.dtype).tiny)

    def total_square(self, matrix: Float[Tensor, "vector d_in"]) -> Float[Tensor, ""]:
        """Sum of squares over the batch of all processes."""
        entries = matrix.reshape(-1)
        return self.peers.total(torch.dot(entries, entries))


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
