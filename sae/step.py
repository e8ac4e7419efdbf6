"""One training step's loss and gradients, written by hand so that nothing dense is built beyond the pre-activations.

With c = x - b_dec, Z the code and e = Z W_dec - c the error, the loss is |e|^2 / |x - mean x|^2, the share of the
batch's variance that is left (Gao et al. 2024 divide likewise). Its gradients need the encoder's dense product, one
sparse decoding, one sampled product for the gradient of the code, and one sparse product for each weight matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae.sparse import ByLatent, SparseCode
from sae.topk import largest_per_row
from sae.weights import Weights, gradient_of

Select = Callable[[Tensor], SparseCode]


@dataclass(frozen=True, eq=False)
class Revival:
    """Gao et al. 2024's auxiliary loss: the latents that are dead describe what the live ones leave over.

    It brings back latents that lose against others, not those whose pre-activation is below 0 on every vector.
    """

    dead: Int[Tensor, " dead"]
    """Latents to revive, at least one."""
    k: int
    """How many of them describe each vector, at most."""
    weight: float
    """Factor of the auxiliary loss, which is the share of the error's square that is left."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a step found; its gradients are in the weights' buffers."""

    code: SparseCode
    """Active latents of the batch."""
    unexplained: Float[Tensor, ""]
    """Share of the batch's variance that the reconstruction leaves (FVU)."""
    loss: Float[Tensor, ""]
    """What the gradients are of: `unexplained`, plus the auxiliary loss if there was one."""


def sparse_step(
    weights: Weights,
    x: Float[Tensor, "vector d_in"],
    select: Select,
    revival: Revival | None,
    pre: Float[Tensor, "vector latent"],
    scale: float = 1.0,
) -> Step:
    """Compute loss and gradients of `weights` on `scale` x `x`; the gradient buffers are overwritten.

    `pre` is room for the pre-activations, which are left in it. The target of the auxiliary loss is held constant.
    """
    centred = torch.add(-weights.b_dec, x, alpha=scale)
    torch.addmm(weights.b_enc, centred, weights.encoder.t(), out=pre)
    code = select(pre)
    error = code.times(weights.decoder, plus=centred, plus_scale=-1.0)
    variance = _variance(centred)
    unexplained = _square(error) / variance
    loss = unexplained
    slope = error * (2 / variance)
    torch.sum(slope, dim=0, out=gradient_of(weights.b_dec))
    encoder_bias = _accumulate(weights, code, centred, slope, keep=False)
    if revival is not None:
        extra = _dead_code(pre, revival)
        rest = extra.times(weights.decoder, plus=error)
        total = _square(error).clamp_min(torch.finfo(error.dtype).tiny)
        loss = loss + revival.weight * _square(rest) / total
        encoder_bias += _accumulate(weights, extra, centred, rest * (2 * revival.weight / total), keep=True)
    gradient_of(weights.b_enc).copy_(encoder_bias)
    # The encoder reads x - b_dec, so what moves the encoder's bias moves b_dec the other way through its weights.
    gradient_of(weights.b_dec).addmv_(weights.encoder.t(), encoder_bias, alpha=-1.0)
    return Step(code, unexplained, loss)


def _accumulate(
    weights: Weights,
    code: SparseCode,
    centred: Float[Tensor, "vector d_in"],
    slope: Float[Tensor, "vector d_in"],
    keep: bool,
) -> Float[Tensor, " latent"]:
    """Put the code's share of the gradients in the two matrices' buffers, and return that of the encoder's bias.

    `slope` is the loss's derivative by the reconstruction.
    """
    by_value = code.sampled_product(slope, weights.decoder)
    sums = ByLatent(code)
    sums.accumulate(code.values, slope, gradient_of(weights.decoder), keep)
    sums.accumulate(by_value, centred, gradient_of(weights.encoder), keep)
    return torch.bincount(code.latents, weights=by_value, minlength=code.width).to(slope.dtype)


def _dead_code(pre: Float[Tensor, "vector latent"], revival: Revival) -> SparseCode:
    among = largest_per_row(pre[:, revival.dead], min(revival.k, revival.dead.shape[0]))
    latents = revival.dead[among.latents.long()].to(torch.int32)
    return SparseCode(among.starts, latents, among.values, pre.shape[1])


def _square(matrix: Float[Tensor, "vector d_in"]) -> Float[Tensor, ""]:
    length: Tensor = torch.linalg.vector_norm(matrix)
    return length.square()


def _variance(centred: Float[Tensor, "vector d_in"]) -> Float[Tensor, ""]:
    """Sum of squares about the batch's own mean; above 0."""
    mean = centred.mean(dim=0, keepdim=True)
    return (_square(centred) - centred.shape[0] * _square(mean)).clamp_min(torch.finfo(centred.dtype).tiny)
