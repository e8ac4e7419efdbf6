"""sparsify's layout (EleutherAI): `cfg.json` and `sae.safetensors`; TopK only, transcoders too.

Its configurations come in two ages. Older ones lack `activation`, `transcode` and `skip_connection` and may have
`signed`; in both, `num_latents` 0 (or none, in the oldest) means `d_in` x `expansion_factor`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sae.architectures.topk import TopKSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import form_of, has_unit_decoder, with_centring
from sae.formats.interface import Files, Location, Writable
from sae.formats.tensors import (
    active_latents,
    read_object,
    read_safetensors,
    require_known,
    require_shapes,
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
    "signed": "latents with negative activations are not supported: choose another checkpoint",
}


class Sparsify(Writable):
    """sparsify, and the library `sae` that it was before."""

    name = "sparsify"
    config = "cfg.json"
    weights = "sae.safetensors"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        path, config = require_known(files)
        _refuse_others(path, config)
        d_in = size(path, config, "d_in")
        if config.get("num_latents", 0) == 0:
            width = d_in * size(path, config, "expansion_factor")
        else:
            width = size(path, config, "num_latents")
        k = active_latents(path, config.get("k"), width)
        tensors = read_safetensors(files.weights, device)
        transcodes, skips = bool(config.get("transcode")), bool(config.get("skip_connection"))
        if skips and not transcodes:
            remedy = "a skip connection adds what no latent says: choose another checkpoint"
            raise SaeError(f"{path}: skip_connection = True", remedy)
        shapes = {**_SHAPES, **({"W_skip": ("d_in", "d_in")} if skips else {})}
        require_shapes(files.weights, tensors, shapes, {"d_in": d_in, "num_latents": width})
        return TopKSae(
            W_enc=tensors["encoder.weight"].t().contiguous(),
            b_enc=tensors["encoder.bias"],
            W_dec=tensors["W_dec"],
            b_dec=tensors["b_dec"],
            apply_b_dec_to_input=not transcodes,
            k=k,
            transcodes=transcodes,
            W_skip=tensors.get("W_skip"),
        )

    def find(self, place: Location) -> Files | None:
        """See Format. The run that a hookpoint's folder is part of has a `config.json` around it."""
        found = super().find(place)
        around = None if found is None else place.file("../config.json")
        return found if found is None or around is None else replace(found, more=(around,))

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format. The hook is the folder's name, the rest stands in the run's configuration, if it is there."""
        found: dict[str, Any] = {}
        if (hook := _hook(files)) is not None:
            found["hook_name"] = hook
        said = read_object(files.more[0]) if files.more else {}
        for name, key in (("model_name", "model"), ("context_size", "ctx_len"), ("dataset_path", "dataset")):
            if said.get(key) is not None:
                found[name] = said[key]
        return found

    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """See Format. TopK only; the metadata is lost, for the layout has no place for it."""
        if not isinstance(sae, TopKSae) or sae.normalisation != "none" or sae.transcodes:
            raise SaeError(
                f"sparsify's layout can't hold {form_of(sae)}: it knows topk alone, without thresholds or gates",
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


def _hook(files: Files) -> str | None:
    """The hookpoint is a module of the model without its head: `layers.3`, `layers.3.mlp`, `embed_tokens`.

    A transcoder reads what goes into the module, an autoencoder what comes out of it.
    """
    _, config = require_known(files)
    hookpoint = files.name.rstrip("/").rpartition("/")[2]
    match = re.fullmatch(r"(?:layers|h)\.(\d+)(\.mlp)?", hookpoint)
    if match is None:
        return None
    if match[2]:
        return f"layers.{match[1]}.mlp.{'in' if config.get('transcode') else 'out'}"
    return f"layers.{match[1]}.resid{'_pre' if config.get('transcode') else ''}"


def _refuse_others(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse what is no sparse autoencoder with a plain TopK."""
    for key, reason in _REFUSED.items():
        if config.get(key):
            raise SaeError(f"{path}: {key} = {config[key]}", reason)
    activation = config.get("activation", "topk")
    if activation != "topk":
        raise SaeError(f"{path}: activation = '{activation}' is not supported", "choose a checkpoint with topk")
