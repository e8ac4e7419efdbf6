"""How the encoder's product is made: the one dense product of a step, and the only one that may be less than 32-bit."""

from __future__ import annotations

import time

import torch
from jaxtyping import Float
from torch import Tensor

from sae.architectures.step import Product, Rooms
from sae.architectures.weights import Weights
from sae.devices import multiplies_in_bfloat16
from sae.recipe import Recipe

_TRIALS = 5
_LARGE = 1 << 30
"""Multiplications of a product on a processor, from which on rounding its factors costs less than it saves."""


def encoder_product(recipe: Recipe, weights: Weights, rooms: Rooms) -> Product:
    """The product as the recipe wants it. `auto` times both kinds on a GPU; on a processor a large one is of bfloat16
    where the processor has such products."""
    product = {"float32": _single, "bfloat16": _half}.get(recipe.precision) or _faster(recipe, weights, rooms)
    if recipe.compile:
        product = torch.compile(product)
    return product


def _single(
    vectors: Float[Tensor, "vector d_in"], rows: Float[Tensor, "latent d_in"], room: Float[Tensor, "vector latent"]
) -> Float[Tensor, "vector latent"]:
    return torch.mm(vectors, rows.t(), out=room)


def _half(
    vectors: Float[Tensor, "vector d_in"], rows: Float[Tensor, "latent d_in"], room: Float[Tensor, "vector latent"]
) -> Float[Tensor, "vector latent"]:
    return room.copy_(torch.mm(vectors.to(torch.bfloat16), rows.t().to(torch.bfloat16)))


def _faster(recipe: Recipe, weights: Weights, rooms: Rooms) -> Product:
    rows = weights.encoder
    if rows.device.type == "cpu":
        return _half if recipe.batch * rows.numel() >= _LARGE and multiplies_in_bfloat16() else _single
    if rows.device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return _single
    vectors = torch.zeros(recipe.batch, rows.shape[1], device=rows.device)
    products = rooms.products.matrix(recipe.batch, rows.shape[0])
    return min((_single, _half), key=lambda product: _seconds(product, vectors, rows, products))


def _seconds(
    product: Product,
    vectors: Float[Tensor, "vector d_in"],
    rows: Float[Tensor, "latent d_in"],
    room: Float[Tensor, "vector latent"],
) -> float:
    best = float("inf")
    for _ in range(_TRIALS):
        torch.cuda.synchronize(room.device)
        start = time.perf_counter()
        product(vectors, rows, room)
        torch.cuda.synchronize(room.device)
        best = min(best, time.perf_counter() - start)
    return best
