"""Gao et al. 2024's auxiliary loss (AuxK): the latents that are dead describe what the live ones leave over.

It brings back latents that lose against others, not those whose pre-activation is below 0 on every vector.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sae.architectures.largest import largest_per_vector
from sae.architectures.step import Forward
from sae.architectures.weights import Gradients
from sae.codes.sparse import SparseCode

WEIGHT = 1 / 32
"""Factor of the auxiliary loss (Gao et al.)."""


def revive(forward: Forward, error: Float[Tensor, "vector d_in"], k: int, gradients: Gradients) -> Float[Tensor, ""]:
    """Add the auxiliary loss's gradients, and return it: the share of the error's square that the dead latents leave.

    `error`: reconstruction less vectors, held constant; at most `k` dead latents describe each vector. Gao et al. take
    half of d_in; a multiple of the k of training keeps the step sparse.
    """
    if not forward.dead.shape[0]:
        return torch.zeros_like(forward.variance)
    extra = _dead_code(forward, min(k, forward.dead.shape[0]))
    rest = extra.times(forward.weights.decoder, plus=error)
    total = forward.total_square(error).clamp_min(torch.finfo(error.dtype).tiny)
    slope = rest * (2 * WEIGHT / total)
    gradients.decoding(extra, slope, keep=True)
    gradients.encoding(extra, extra.sampled_product(slope, forward.weights.decoder), keep=True)
    return WEIGHT * forward.total_square(rest) / total


def _dead_code(forward: Forward, k: int) -> SparseCode:
    dead = forward.dead
    among = largest_per_vector(forward.blocks(dead), forward.weights.b_enc[dead], k)
    latents = dead[among.latents.long()].to(torch.int32)
    return SparseCode(among.starts, latents, among.values, forward.weights.width)
