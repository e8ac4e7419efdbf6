"""What an architecture's step is given, made by the tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sae.architectures.step import Forward, Rooms
from sae.architectures.weights import Weights
from sae.parallel import Peers
from sae.recipe import Recipe
from sae.training.precision import encoder_product


def forward_of(
    weights: Weights, centred: torch.Tensor, *, dead: Sequence[int] = (), penalty: float = 1.0, length: float = 1.0
) -> Forward:
    """A forward pass of one process on these centred vectors."""
    rooms = Rooms(weights.encoder)
    product = encoder_product(Recipe(), weights, rooms)
    silent = torch.tensor(dead, dtype=torch.int64)
    return Forward(weights, centred, product, rooms, silent, penalty, length, Peers())


def forward_with(pre: torch.Tensor) -> Forward:
    """A forward pass with these pre-activations [vector, latent], half of them from the encoder's bias."""
    width = pre.shape[1]
    weights = Weights(torch.eye(width), torch.full((width,), 0.5), torch.eye(width), torch.zeros(width))
    return forward_of(weights, pre - 0.5)
