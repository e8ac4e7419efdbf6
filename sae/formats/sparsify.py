"""sparsify's layout (EleutherAI): `cfg.json` and `sae.safetensors`; TopK only.

Its configurations come in two ages. Older ones lack `activation`, `transcode` and `skip_connection` and may have
`signed`; in both, `num_latents` 0 (or none, in the oldest) means `d_in` x `expansion_factor`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sae.architectures.topk import TopKSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import has_unit_decoder, with_centring
from sae.formats.interface import Files, Format
from sae.formats.tensors import (
    Shapes,
    active_latents,
    read_object,
    read_safetensors,
    shapes_of,
    size,
    write_safetensors,
)

_SHAPES: Mapping[str, tuple[str, ...]] = {
    "encoder.weight": ("num_latents", "d_in"),
    "encoder.bias": ("num_latents",),
    "W_dec": ("num_latents", "d_in"),
    "b_dec": ("d_in",),
}

_REFUSED: Mapping[str, str] = {
    "transcode": "a transcoder writes another vector than it reads: choose a sparse autoencoder",
    "skip_connection": "a skip connection adds what no latent says: choose a sparse autoencoder without one",
    "signed": "latents with negative activations are not supported: choose another checkpoint",
}


class Sparsify(Format):
    """sparsify, and the library `sae` that it was before."""

    name = "sparsify"
    config = "cfg.json"
    weights = "sae.safetensors"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        config = read_object(files.config)
        _refuse_others(files.config, config)
        d_in = size(files.config, config, "d_in")
        if config.get("num_latents", 0) == 0:
            width = d_in * size(files.config, config, "expansion_factor")
        else:
            width = size(files.config, config, "num_latents")
        k = active_latents(files.config, config.get("k"), width)
        tensors = read_safetensors(files.weights, device)
        Shapes(_SHAPES, {"d_in": d_in, "num_latents": width}).check(files.weights, shapes_of(tensors))
        return TopKSae(
            W_enc=tensors["encoder.weight"].t().contiguous(),
            b_enc=tensors["encoder.bias"],
            W_dec=tensors["W_dec"],
            b_dec=tensors["b_dec"],
            apply_b_dec_to_input=True,
            k=k,
        )

    def metadata(self, config: Path) -> dict[str, Any]:
        """See Format. The layout has none: sparsify keeps it in the names of folders, or in other files."""
        return {}

    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """See Format. TopK only; the metadata is lost, for the layout has no place for it."""
        if not isinstance(sae, TopKSae):
            raise SaeError(
                f"sparsify's layout can't hold {sae.architecture}: it knows topk alone, without thresholds or gates",
                "write it as saelens or dictionary_learning",
            )
        centred = with_centring(sae, subtract=True).tensors()
        config = {
            "activation": "topk",
            "d_in": sae.d_in,
            "expansion_factor": max(sae.width // sae.d_in, 1),
            "k": sae.k,
            "multi_topk": False,
            "normalize_decoder": has_unit_decoder(sae.W_dec),
            "num_latents": sae.width,
            "skip_connection": False,
            "transcode": False,
        }
        tensors: dict[str, Tensor] = {
            "encoder.weight": centred["W_enc"].t(),
            "encoder.bias": centred["b_enc"],
            "W_dec": centred["W_dec"],
            "b_dec": centred["b_dec"],
        }
        write_safetensors(folder / self.weights, tensors)
        (folder / self.config).write_text(json.dumps(config, indent=1) + "\n", "utf8")


def _refuse_others(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse what is no sparse autoencoder with a plain TopK."""
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise SaeError(f"{path}: {key} = {config[key]}", reason)
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise SaeError(f"{path}: activation = '{activation}' is not supported", "choose a checkpoint with topk")
