"""Every architecture by its name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from sae.architecture import Architecture
from sae.base import SparseAutoencoder
from sae.batchtopk import BatchTopK
from sae.errors import SaeError
from sae.gated import GatedSae
from sae.jumprelu import JumpReluSae
from sae.standard import StandardSae
from sae.topk import TopK, TopKSae

TRAINABLE: Mapping[str, type[Architecture]] = {"batchtopk": BatchTopK, "topk": TopK}
"""What `train` takes."""

LOADABLE: Mapping[str, type[SparseAutoencoder]] = {
    form.architecture: form for form in (StandardSae, GatedSae, JumpReluSae, TopKSae)
}
"""What checkpoints hold, by the name in SAELens' layout. BatchTopK is kept as `jumprelu`."""


def trainable(architecture: str, k: int) -> Architecture:
    """The architecture of this name with `k` active latents; SaeError lists the names."""
    if architecture not in TRAINABLE:
        raise SaeError(f"architecture '{architecture}' can't be trained", f"valid: {', '.join(sorted(TRAINABLE))}")
    return TRAINABLE[architecture](k)


def loadable(architecture: str) -> type[SparseAutoencoder]:
    """The form of this name; SaeError lists the names."""
    if architecture not in LOADABLE:
        raise SaeError(f"architecture '{architecture}' can't be loaded", f"valid: {', '.join(sorted(LOADABLE))}")
    return LOADABLE[architecture]
