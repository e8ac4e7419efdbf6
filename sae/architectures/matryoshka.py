"""Matryoshka-BatchTopK: the first latents must do without the later ones (Bussmann et al. 2025, Nabeshima 2025).

The latents are in groups; the loss is the mean over the prefixes of groups of what each leaves unexplained. General
features so settle in the first groups, and are not absorbed by specific ones. For use it is JumpReLU, like BatchTopK.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch

from sae.architectures.batchtopk import BatchTopK
from sae.architectures.revival import revive
from sae.architectures.step import Forward, Step
from sae.architectures.topk import REVIVED
from sae.architectures.weights import Gradients
from sae.errors import SaeError
from sae.recipe import Recipe


class Matryoshka(BatchTopK):
    """Training with BatchTopK's selection and a loss per prefix."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.bounds = group_bounds(recipe.width, recipe.groups)
        """Where the groups begin and end."""

    def step(self, forward: Forward) -> Step:
        """See Architecture. The error of each prefix is that of the one before, plus the group's decoding."""
        code = self.select(forward)
        decoder = forward.weights.decoder
        parts = [(slice(first, end), code.between(first, end)) for first, end in pairwise(self.bounds)]
        error = -forward.centred
        errors = []
        for latents, part in parts:
            error = part.times(decoder[latents], plus=error)
            errors.append(error)
        factor = 2 / (forward.variance * len(parts))
        gradients = Gradients(forward.weights, forward.centred)
        slope = torch.zeros_like(error)
        for (latents, part), after in zip(reversed(parts), reversed(errors), strict=True):
            slope = torch.addcmul(slope, after, factor)  # a group is decoded for its own prefix and all longer ones
            gradients.decoding(part, slope, latents)
            gradients.encoding(part, part.sampled_product(slope, decoder[latents]), latents)
        left = torch.stack([forward.total_square(one) for one in errors]) / forward.variance
        loss = left.mean() + revive(forward, error, REVIVED * self.recipe.k, gradients)
        gradients.finish(slope.sum(dim=0))
        return Step(code.firings(), left[-1], loss)


def group_bounds(width: int, shares: tuple[float, ...]) -> list[int]:
    """0, the end of the first group, ..., `width`. SaeError when a group would be empty or the shares don't add up."""
    if not shares or abs(sum(shares) - 1) > 1e-6:
        raise SaeError(f"groups = {list(shares)} add up to {sum(shares):g}", "give shares that add up to 1")
    bounds = [0, *(round(width * end) for end in accumulate(shares))]
    if any(first >= end for first, end in pairwise(bounds)):
        raise SaeError(f"groups = {list(shares)} leave a group of {width} latents empty", "use fewer or larger groups")
    return bounds
