"""Every architecture by its name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from sae.architectures.batchtopk import BatchTopK
from sae.architectures.gated import Gated, GatedSae
from sae.architectures.interface import Architecture
from sae.architectures.jumprelu import JumpRelu, JumpReluSae
from sae.architectures.matryoshka import Matryoshka
from sae.architectures.standard import Standard, StandardSae
from sae.architectures.topk import TopK, TopKSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.recipe import Recipe

TRAINABLE: Mapping[str, type[Architecture]] = {
    "batchtopk": BatchTopK,
    "gated": Gated,
    "jumprelu": JumpRelu,
    "matryoshka": Matryoshka,
    "standard": Standard,
    "topk": TopK,
}
"""What `train` takes."""

LOADABLE: Mapping[str, type[SparseAutoencoder]] = {
    form.architecture: form for form in (StandardSae, GatedSae, JumpReluSae, TopKSae)
}
"""What checkpoints hold, by the name in SAELens' layout. BatchTopK and Matryoshka are kept as `jumprelu`."""


def trainable(recipe: Recipe) -> Architecture:
    """The recipe's architecture; SaeError lists the names, or says what is wrong with its settings."""
    if recipe.architecture not in TRAINABLE:
        raise SaeError(f"architecture '{recipe.architecture}' can't be trained", f"valid: {', '.join(TRAINABLE)}")
    return TRAINABLE[recipe.architecture](recipe)


def loadable(architecture: str) -> type[SparseAutoencoder]:
    """The form of this name; SaeError lists the names."""
    if architecture not in LOADABLE:
        raise SaeError(f"architecture '{architecture}' can't be loaded", f"valid: {', '.join(sorted(LOADABLE))}")
    return LOADABLE[architecture]
