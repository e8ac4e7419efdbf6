"""Attribution by taking parts of an input away: occlusion, and LIME. Of a model they see its scores alone.

A part is whatever can be kept or taken away: a token, a word. What stands in its place is the scorer's matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

Masks: TypeAlias = Bool[np.ndarray, "draw part"]
"""True: the part is kept."""
MaskScorer: TypeAlias = Callable[[Masks], Float[np.ndarray, "draw target"]]
"""What the model says when the other parts are taken away: one number for each thing that is attributed."""
Attribution: TypeAlias = Float[np.ndarray, "part target"]
"""How much each part speaks for each target, with its sign."""

LIME_WIDTH = 0.25
"""Of the kernel, in cosine distance: the default of the method's authors."""
LIME_RIDGE = 1.0


def occlusion(score: MaskScorer, parts: int) -> Attribution:
    """What a target loses when one part is taken away, for each of `parts` (Zeiler and Fergus 2014; Li et al. 2016)."""
    masks = np.concatenate([np.ones((1, parts), dtype=bool), ~np.eye(parts, dtype=bool)])
    scores = score(masks)
    return np.asarray(scores[:1] - scores[1:])


def lime_masks(parts: int, draws: int, rng: np.random.Generator) -> Masks:
    """The whole input, then `draws` - 1 inputs of which 1 to all parts are taken away, each number alike often."""
    masks = np.ones((draws, parts), dtype=bool)
    for row in masks[1:]:
        row[rng.permutation(parts)[: rng.integers(1, parts + 1)]] = False
    return masks


def lime(
    score: MaskScorer, parts: int, draws: int, rng: np.random.Generator, *, ridge: float = LIME_RIDGE
) -> Attribution:
    """Slopes of a weighted ridge of the scores on what is kept (Ribeiro et al. 2016), from `draws` random inputs."""
    masks = lime_masks(parts, draws, rng)
    return weighted_ridge(masks, score(masks), ridge)


def weighted_ridge(masks: Masks, scores: Float[np.ndarray, "draw target"], ridge: float = LIME_RIDGE) -> Attribution:
    """The ridge itself: an intercept without penalty, draws weighted by exp(-d^2 / 2 width^2), where d is the cosine
    distance of what is kept to the whole: 1 - sqrt(share kept)."""
    kept = masks.astype(np.float64)
    distance = 1.0 - np.sqrt(kept.mean(axis=1))
    weights = np.exp(-0.5 * (distance / LIME_WIDTH) ** 2)
    inputs = kept - np.average(kept, axis=0, weights=weights)
    targets = scores - np.average(scores, axis=0, weights=weights)
    left = (inputs.T * weights) @ inputs + ridge * np.eye(masks.shape[1])
    return np.asarray(np.linalg.solve(left, (inputs.T * weights) @ targets))
