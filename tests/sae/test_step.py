"""The hand-written step against plain dense autograd: loss and every gradient."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sae.registry import trainable
from sae.step import Revival, sparse_step
from sae.weights import Weights, drop_parallel_gradient, gradient_of, rescale_decoder

VECTORS, D_IN, WIDTH, K = 40, 12, 30, 4


def dense_selection(architecture: str, pre: torch.Tensor, k: int) -> torch.Tensor:
    """Mask of the active latents, by sorting."""
    if architecture == "topk":
        return torch.zeros_like(pre).scatter(1, pre.argsort(dim=1, descending=True)[:, :k], 1.0)
    last = pre.flatten().sort(descending=True).values[k * pre.shape[0] - 1]
    return (pre >= last).to(pre.dtype)


def dense_loss(
    architecture: str, weights: list[torch.Tensor], x: torch.Tensor, dead: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and unexplained share, as a reader would write them."""
    encoder, b_enc, decoder, b_dec = weights
    pre = (x - b_dec) @ encoder.t() + b_enc
    code = pre.relu() * dense_selection(architecture, pre, K)
    reconstruction = code @ decoder + b_dec
    unexplained = (x - reconstruction).square().sum() / (x - x.mean(0)).square().sum()
    if dead is None:
        return unexplained, unexplained
    residual = (x - reconstruction).detach()
    is_dead = torch.zeros(WIDTH, dtype=torch.bool).scatter(0, dead, True)
    among_dead = pre.masked_fill(~is_dead, -torch.inf)
    chosen = dense_selection("topk", among_dead, min(3, len(dead)))
    extra = torch.where(chosen.bool(), pre, 0.0).relu()
    revived = (extra @ decoder - residual).square().sum() / residual.square().sum()
    return unexplained + revived / 32, unexplained


def random_weights(dtype: torch.dtype) -> Weights:
    generator = torch.Generator().manual_seed(3)
    shapes = [(WIDTH, D_IN), (WIDTH,), (WIDTH, D_IN), (D_IN,)]
    return Weights(*(torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes))


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
@pytest.mark.parametrize("dead", [None, [2], [1, 5, 6, 20, 29]])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_step_equals_dense_autograd(
    architecture: str, dead: list[int] | None, dtype: torch.dtype, tolerance: float
) -> None:
    weights = random_weights(dtype)
    x = torch.randn(VECTORS, D_IN, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype) + 1
    latents = None if dead is None else torch.tensor(dead)
    for tensor in weights.all():
        gradient_of(tensor).fill_(7.0)  # a step must not add to what an earlier one left
    revival = None if latents is None else Revival(latents, k=3, weight=1 / 32)
    pre = torch.empty(VECTORS, WIDTH, dtype=dtype)
    step = sparse_step(weights, x / 2, trainable(architecture, K).select, revival, pre, scale=2.0)

    leaves = [tensor.detach().clone().requires_grad_() for tensor in weights.all()]
    loss, unexplained = dense_loss(architecture, leaves, x, latents)
    loss.backward()
    assert_close(step.loss, loss.detach(), rtol=tolerance, atol=0)
    assert_close(step.unexplained, unexplained.detach(), rtol=tolerance, atol=0)
    for ours, leaf in zip(weights.all(), leaves, strict=True):
        assert leaf.grad is not None
        scale = float(leaf.grad.abs().max())
        assert scale > 0
        assert_close(gradient_of(ours), leaf.grad, rtol=tolerance, atol=tolerance * scale)


def test_decoder_rows_stay_unit_and_their_gradient_perpendicular() -> None:
    weights = random_weights(torch.float64)
    rescale_decoder(weights)
    assert_close(weights.decoder.norm(dim=1), torch.ones(WIDTH, dtype=torch.float64))
    gradient_of(weights.decoder).normal_(generator=torch.Generator().manual_seed(0))
    before = gradient_of(weights.decoder).clone()
    drop_parallel_gradient(weights)
    after = gradient_of(weights.decoder)
    assert float((after * weights.decoder).sum(1).abs().max()) < 1e-12
    parallel = before - after
    assert_close(parallel, (before * weights.decoder).sum(1, keepdim=True) * weights.decoder)
