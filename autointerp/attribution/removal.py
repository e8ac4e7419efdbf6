"""Attribution by taking tokens out: their vector (occlusion, LIME), or the tokens themselves (leave-one-out)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from autointerp.attribution.masks import Masks, lime_masks, occlusion, weighted_ridge
from autointerp.attribution.passages import Passage
from autointerp.attribution.targets import Outputs

LIME_DRAWS = 512


@dataclass(frozen=True)
class TokenMasks:
    """A `MaskScorer` over the tokens of a passage that can be taken away: a vector stands in their place."""

    outputs: Outputs
    base: Float[Tensor, "position width"]
    """What stands there."""
    probability: bool = False
    """Probabilities of the output tokens in the place of their logarithms."""

    def __call__(self, masks: Masks) -> Float[np.ndarray, "draw target"]:
        """The score of every target for each draw, as many at a time as fit into the memory."""
        fixed, tensor = self.outputs.passage.fixed, self.outputs.tensor
        kept = np.concatenate([np.ones((len(masks), fixed), dtype=bool), masks], axis=1)
        found = []
        for first in range(0, len(kept), self.outputs.rows):
            some = torch.as_tensor(kept[first : first + self.outputs.rows], device=tensor.device)
            with torch.no_grad():
                scores = self.outputs.replaced(torch.where(some[..., None], tensor, self.base))
            found.append(scores.double().cpu().numpy())
        every = np.concatenate(found)
        return np.asarray(np.exp(every) if self.probability else every)


def occluded(outputs: Outputs, base: Float[Tensor, "position width"]) -> Float[np.ndarray, "position target"]:
    """What each target loses when a token's vector is replaced by that of `base`."""
    return _whole(outputs, occlusion(TokenMasks(outputs, base), outputs.passage.parts))


def lime_of_tokens(
    outputs: Outputs, base: Float[Tensor, "position width"], draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "position target"]:
    """LIME's slopes: the same draws for all targets, and for each a ridge on the tokens that stand before it."""
    passage = outputs.passage
    masks = lime_masks(passage.parts, draws, rng)
    scores = TokenMasks(outputs, base)(masks)
    found = np.zeros((passage.parts, passage.targets))
    for target in range(passage.targets):
        columns = passage.before(target) - passage.fixed
        if columns:
            found[:columns, target] = weighted_ridge(masks[:, :columns], scores[:, target : target + 1])[:, 0]
    return _whole(outputs, found)


def left_out(outputs: Outputs) -> Float[np.ndarray, "position target"]:
    """What each target loses when a token is deleted, so that what follows moves one position up."""
    passage = outputs.passage
    whole = outputs.scores.double().cpu().numpy()
    found = np.zeros((len(passage.ids) - 1, passage.targets))
    for position in range(passage.fixed, len(passage.ids) - 1):
        if len(passage.ids) <= 2:
            break  # nothing would stand before the target
        first = max(0, position - passage.prompt + 1)  # targets after it
        without = (*passage.ids[:position], *passage.ids[position + 1 :])
        prompt = passage.prompt - 1 if position < passage.prompt else position
        if prompt < 1:
            continue  # the prompt's only token: the first target would follow nothing
        shorter = Passage(without, prompt, ("",) * len(without), passage.fixed)
        scores = replace(outputs, passage=shorter).scores.double().cpu().numpy()
        found[position, first:] = whole[first:] - scores[len(scores) - (passage.targets - first) :]
    return found


def _whole(outputs: Outputs, parts: Float[np.ndarray, "part target"]) -> Float[np.ndarray, "position target"]:
    """With 0 for the fixed positions, and for what a target does not depend on."""
    passage = outputs.passage
    found = np.concatenate([np.zeros((passage.fixed, passage.targets)), parts])
    for target in range(passage.targets):
        found[passage.before(target) :, target] = 0.0
    return found
