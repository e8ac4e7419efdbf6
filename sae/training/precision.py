"""How the encoder's product is made: the one dense product of a step, and the only one that may be less than 32-bit."""

from __future__ import annotations

import time

import torch
from jaxtyping import Float
from torch import Tensor

from sae.recipe import Recipe
from sae.training.forward import Product
from sae.training.weights import Weights

_TRIALS = 5


def encoder_product(recipe: Recipe, weights: Weights, room: Float[Tensor, "vector latent"]) -> Product:
    """The product as the recipe wants it. `auto` times both kinds on this GPU; on a processor it is 32-bit."""
    product = {"float32": _single, "bfloat16": _half}.get(recipe.precision) or _faster(weights, room)
    if recipe.compile:
        product = torch.compile(product)
    return product


def _single(
    centred: Float[Tensor, "vector d_in"], weights: Weights, room: Float[Tensor, "vector latent"]
) -> Float[Tensor, "vector latent"]:
    return torch.addmm(weights.b_enc, centred, weights.encoder.t(), out=room)


def _half(
    centred: Float[Tensor, "vector d_in"], weights: Weights, room: Float[Tensor, "vector latent"]
) -> Float[Tensor, "vector latent"]:
    product = torch.mm(centred.to(torch.bfloat16), weights.encoder.t().to(torch.bfloat16))
    return torch.add(product, weights.b_enc, out=room)


def _faster(weights: Weights, room: Float[Tensor, "vector latent"]) -> Product:
    if room.device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return _single
    centred = torch.zeros(room.shape[0], weights.encoder.shape[1], device=room.device)
    return min((_single, _half), key=lambda product: _seconds(product, centred, weights, room))


def _seconds(
    product: Product, centred: Float[Tensor, "vector d_in"], weights: Weights, room: Float[Tensor, "vector latent"]
) -> float:
    best = float("inf")
    for _ in range(_TRIALS):
        torch.cuda.synchronize(room.device)
        start = time.perf_counter()
        product(centred, weights, room)
        torch.cuda.synchronize(room.device)
        best = min(best, time.perf_counter() - start)
    return best
