"""Parts of an autoencoder that stay as they were drawn (Korznikov et al. 2026, arXiv 2602.14111, Sanity checks).

A trained autoencoder that is explained no better than one of these owes its explanations to random directions or to
random detectors. Ours differ from theirs in how they start: rows of the encoder in the direction of the decoder's.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sae.architectures.weights import Weights
from sae.recipe import Recipe

LEAST_COSINE = 0.8
"""Of a row of a soft-frozen decoder with the row that it started as."""


class Freezing:
    """Which tensors are moved, and what is done to the decoder after every step."""

    def __init__(self, recipe: Recipe, weights: Weights) -> None:
        """`weights` as they start."""
        self._name = recipe.freeze
        self._start = weights.decoder.clone() if recipe.freeze == "soft-decoder" else None

    @property
    def any(self) -> bool:
        """Whether anything is held."""
        return self._name != "none"

    def trained(self, weights: Weights) -> dict[str, Tensor]:
        """The tensors that training moves, by name."""
        return {name: tensor for name, tensor in weights.all().items() if name != self._name}

    @property
    def holds_decoder(self) -> bool:
        """Whether the decoder is left alone: its rows are not even brought back to length 1."""
        return self._name == "decoder"

    def hold(self, weights: Weights) -> None:
        """Turn rows of length 1 of a soft-frozen decoder that went too far back to the nearest that did not."""
        if self._start is not None:
            weights.decoder.copy_(nearest_within(weights.decoder, self._start, LEAST_COSINE))


def nearest_within(
    rows: Float[Tensor, "row column"], start: Float[Tensor, "row column"], least: float
) -> Float[Tensor, "row column"]:
    """The unit rows nearest to `rows` whose cosine with those of `start` is at least `least`; both of length 1."""
    cosines = torch.linalg.vecdot(rows, start).unsqueeze(1)
    aside = rows - cosines * start
    lengths = torch.linalg.vector_norm(aside, dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    edge = least * start + math.sqrt(1 - least**2) * aside / lengths
    return torch.where(cosines < least, edge, rows)
