"""Qwen Scope: one file per layer, `layerN.sae.pt`, in a repository whose name says model, width and active latents.

`Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/layer3.sae.pt`; on the local disk too the folder must have that name.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import torch

from sae.architectures.topk import TopKSae
from sae.base import Named, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.interface import Files, Format, Location
from sae.formats.tensors import active_latents, matrix_sizes, plain_tensors, read_pickle, require_shapes

_NAME = re.compile(r"SAE-Res-(?P<model>[^/]+)-W\d+K-L0_(?P<k>\d+)/layer(?P<layer>\d+)\.sae\.pt$")


class QwenScope(Format):
    """Qwen Scope."""

    name = "qwen_scope"
    needs: ClassVar[str] = "the file layerN.sae.pt (qwen_scope)"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        weights = place.file() if place.name.endswith(".sae.pt") else None
        return None if weights is None else Files(weights, name=place.name)

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        named = _named(files)
        found = plain_tensors(files.weights, read_pickle(files.weights, device))
        tensors: Named = {
            name: (value.t() if name.startswith("W_") and value.ndim == 2 else value).to(torch.float32).contiguous()
            for name, value in found.items()
        }
        d_in, latents = matrix_sizes(files.weights, tensors, "W_enc")
        require_shapes(files.weights, tensors, TopKSae.SHAPES, {"d_in": d_in, "d_sae": latents})
        k = active_latents(files.weights, int(named["k"]), latents)
        return TopKSae(**tensors, apply_b_dec_to_input=False, k=k)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        named = _named(files)
        hook = f"blocks.{named['layer']}.hook_resid_post"
        model = named["model"].replace("Qwen3_5", "Qwen3.5")
        return {"model_name": f"Qwen/{model}", "hook_name": hook, "context_size": 1024, "prepend_bos": True}


def _named(files: Files) -> re.Match[str]:
    found = _NAME.search(files.name)
    if found is None:
        raise SaeError(
            f"{files.name}: how many latents are active stands in the repository's name, which this path lacks",
            "keep the folder's name as on the hub: SAE-Res-MODEL-W32K-L0_50",
        )
    return found
