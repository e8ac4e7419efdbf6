"""The loss of every architecture as a reader would write it: dense, with autograd. What the fast steps are held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sae.architectures.jumprelu import _BANDWIDTH
from sae.architectures.matryoshka import group_bounds
from sae.recipe import Recipe

Parameters = dict[str, Tensor]


def twin(
    recipe: Recipe, p: Parameters, x: Tensor, dead: Tensor, penalty: float, length: float
) -> tuple[Tensor, Tensor]:
    """Loss, and unexplained share of the variance."""
    loss, unexplained = _TWINS[recipe.architecture](recipe, p, x, dead, penalty, length)
    return loss, unexplained


def _pre(p: Parameters, x: Tensor) -> Tensor:
    return (x - p["b_dec"]) @ p["encoder"].t() + p["b_enc"]


def _decoded(p: Parameters, code: Tensor) -> Tensor:
    return code @ p["decoder"] + p["b_dec"]


def _share(x: Tensor, reconstruction: Tensor) -> Tensor:
    return (x - reconstruction).square().sum() / (x - x.mean(0)).square().sum()


def _top(pre: Tensor, k: int) -> Tensor:
    """Mask of the k largest of each row, by sorting."""
    return torch.zeros_like(pre).scatter(1, pre.argsort(dim=1, descending=True)[:, :k], 1.0)


def _top_of_batch(pre: Tensor, k: int) -> Tensor:
    last = pre.flatten().sort(descending=True).values[k * pre.shape[0] - 1]
    return (pre >= last).to(pre.dtype)


def _revival(p: Parameters, pre: Tensor, residual: Tensor, dead: Tensor, k: int) -> Tensor:
    """AuxK: dead latents, at most 2k of them per vector, describe the residual, which is held constant."""
    if not len(dead):
        return pre.new_zeros(())
    is_dead = torch.zeros(pre.shape[1], dtype=torch.bool).scatter(0, dead, True)
    chosen = _top(pre.masked_fill(~is_dead, -torch.inf), min(2 * k, len(dead)))
    extra = torch.where(chosen.bool(), pre, 0.0).relu()
    residual = residual.detach()
    return (extra @ p["decoder"] - residual).square().sum() / residual.square().sum() / 32


def _selected(recipe: Recipe, p: Parameters, x: Tensor, dead: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    pre = _pre(p, x)
    mask = _top(pre, recipe.k) if recipe.architecture == "topk" else _top_of_batch(pre, recipe.k)
    reconstruction = _decoded(p, pre.relu() * mask)
    unexplained = _share(x, reconstruction)
    return unexplained + _revival(p, pre, x - reconstruction, dead, recipe.k), unexplained


def _matryoshka(recipe: Recipe, p: Parameters, x: Tensor, dead: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    pre = _pre(p, x)
    code = pre.relu() * _top_of_batch(pre, recipe.k)
    shares = []
    for end in group_bounds(recipe.width, recipe.groups)[1:]:
        prefix = code * (torch.arange(recipe.width) < end)
        shares.append(_share(x, _decoded(p, prefix)))
    loss = torch.stack(shares).mean()
    return loss + _revival(p, pre, x - _decoded(p, code), dead, recipe.k), shares[-1]


def _standard(
    recipe: Recipe, p: Parameters, x: Tensor, _: Tensor, penalty: float, length: float
) -> tuple[Tensor, Tensor]:
    code = _pre(p, x).relu()
    reconstruction = _decoded(p, code)
    squares = (x - reconstruction).square().sum(1).mean()
    price = recipe.l1 * penalty * length
    return (squares + price * code.sum(1).mean()) / length**2, _share(x, reconstruction)


def _gated(recipe: Recipe, p: Parameters, x: Tensor, _: Tensor, penalty: float, length: float) -> tuple[Tensor, Tensor]:
    product = (x - p["b_dec"]) @ p["encoder"].t()
    gates = product + p["b_enc"]
    magnitudes = (product * p["r_mag"].exp() + p["b_mag"]).relu()
    reconstruction = _decoded(p, (gates > 0) * magnitudes)
    held = {name: tensor.detach() for name, tensor in p.items()}
    second = (x - _decoded(held, gates.relu())).square().sum(1).mean()
    price = recipe.l1 * penalty * length
    squares = (x - reconstruction).square().sum(1).mean()
    return (squares + price * gates.relu().sum(1).mean() + second) / length**2, _share(x, reconstruction)


class _Jump(torch.autograd.Function):
    """JumpReLU with the pseudo-derivative by the threshold of Rajamanoharan et al. 2024, equation 11."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.width = width
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (slope,) = slopes
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < ctx.width / 2).to(pre.dtype)
        return slope * (pre > threshold), (slope * near * -threshold / ctx.width).sum(0), None


class _Step(torch.autograd.Function):
    """The step function with its pseudo-derivative, equation 12."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.width = width
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (slope,) = slopes
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < ctx.width / 2).to(pre.dtype)
        return None, (-slope * near / ctx.width).sum(0), None


def _jumprelu(
    recipe: Recipe, p: Parameters, x: Tensor, _: Tensor, penalty: float, length: float
) -> tuple[Tensor, Tensor]:
    pre, threshold, width = _pre(p, x), p["log_threshold"].exp(), _BANDWIDTH * length
    code: Tensor = _Jump.apply(pre, threshold, width)
    active: Tensor = _Step.apply(pre, threshold, width)
    reconstruction = _decoded(p, code)
    squares = (x - reconstruction).square().sum(1).mean() / length**2
    sparsity = (active.sum(1).mean() / recipe.k - 1).square()
    return squares + recipe.l0 * penalty * sparsity, _share(x, reconstruction)


_TWINS: Mapping[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "topk": _selected,
    "batchtopk": _selected,
    "matryoshka": _matryoshka,
    "standard": _standard,
    "gated": _gated,
    "jumprelu": _jumprelu,
}
