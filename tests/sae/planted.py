"""Vectors made of a known sparse dictionary, which training should find again."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def planted(
    count: int, d_in: int, atoms: int, active: int, seed: int
) -> tuple[Float[Tensor, "count d_in"], Float[Tensor, "atoms d_in"]]:
    """Vectors that are each a positive sum of `active` of `atoms` unit directions, on an offset, and the directions."""
    generator = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(atoms, d_in, generator=generator)
    dictionary /= dictionary.norm(dim=1, keepdim=True)
    chosen = torch.rand(count, atoms, generator=generator).topk(active, dim=1).indices
    code = torch.zeros(count, atoms).scatter_(1, chosen, 1 + torch.rand(count, active, generator=generator))
    offset = torch.randn(d_in, generator=generator)
    return 7 * (code @ dictionary + offset), dictionary


def max_cosines(
    dictionary: Float[Tensor, "atoms d_in"], decoder: Float[Tensor, "latent d_in"]
) -> Float[Tensor, " atoms"]:
    """Cosine of each planted direction with the decoder row that is nearest to it."""
    rows = decoder / decoder.norm(dim=1, keepdim=True)
    nearest: Tensor = (dictionary @ rows.t()).max(dim=1).values
    return nearest
