"""Recipes of an architecture that a test is given by its name."""

from __future__ import annotations

from typing import Any

from sae.recipe import Recipe


def recipe_of(architecture: str, **settings: Any) -> Recipe:
    """Nothing is checked: what is wrong with a recipe is for `trainable` to say."""
    given: dict[str, Any] = {"architecture": architecture, **settings}
    return Recipe(**given)
