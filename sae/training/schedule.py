"""Factors of the learning rate and of the penalties over a run."""

from __future__ import annotations

import math

from sae.recipe import Recipe


def rate(recipe: Recipe, done: int, steps: int) -> float:
    """Factor of the learning rate after `done` of `steps` steps, above 0 and at most 1."""
    rise = (done + 1) / max(recipe.warm_up * steps, 1.0)
    return min(rise, _fall(recipe, done, steps), 1.0)


def _fall(recipe: Recipe, done: int, steps: int) -> float:
    if recipe.decay == "none":
        return 1.0
    left = min((steps - done) / max(recipe.decay_share * steps, 1.0), 1.0)
    return left if recipe.decay == "linear" else (1 - math.cos(math.pi * left)) / 2


def penalty(recipe: Recipe, done: int, steps: int) -> float:
    """Factor of the penalties after `done` of `steps` steps, above 0 and at most 1."""
    return min((done + 1) / max(recipe.sparsity_warm_up * steps, 1.0), 1.0)
