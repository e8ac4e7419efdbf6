"""Gemma Scope (Lieberum et al. 2024): one `params.npz` per folder, SAEs and transcoders of Gemma 2, all JumpReLU.

Which model, site and layer a file belongs to stands in the names of repository and folders alone
(`google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71`).
"""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sae.architectures.jumprelu import JumpReluSae
from sae.base import Named, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.interface import Files, Format, Location
from sae.formats.tensors import AGAIN, drop_unit_scaling, matrix_sizes, require_shapes

WEIGHTS = "params.npz"
_REPOSITORY = re.compile(r"gemma-scope-(?P<size>\d+b)-(?P<tuned>pt|it)-(?P<site>res|mlp|att|transcoders)(?![a-z])")
_HOOKS = {"res": "blocks.{}.hook_resid_post", "mlp": "blocks.{}.hook_mlp_out", "att": "blocks.{}.attn.hook_z"}
CONTEXT = 1024
"""Tokens per context in the training of Gemma Scope and of Gemma Scope 2."""


class GemmaScope(Format):
    """Gemma Scope."""

    name = "gemma_scope"
    needs: ClassVar[str] = f"{WEIGHTS} (gemma_scope)"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        weights = place.file(WEIGHTS)
        return None if weights is None else Files(weights, name=place.name)

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        tensors: Named = {name: value.to(device) for name, value in _read_npz(files.weights).items()}
        drop_unit_scaling(files.weights, tensors)
        d_in, latents = matrix_sizes(files.weights, tensors, "W_enc")
        require_shapes(files.weights, tensors, JumpReluSae.SHAPES, {"d_in": d_in, "d_sae": latents})
        if "/embedding/" in f"/{files.name}/":
            # Trained on embeddings before Gemma scales them, and used on what comes after.
            root = math.sqrt(d_in)
            tensors |= {"W_enc": tensors["W_enc"] / root, "W_dec": tensors["W_dec"] * root}
        transcodes = "transcoder" in files.name
        return JumpReluSae(**tensors, apply_b_dec_to_input=False, transcodes=transcodes)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        found: dict[str, Any] = {"context_size": CONTEXT, "prepend_bos": True}
        repository, layer = _REPOSITORY.search(files.name), re.search(r"layer_(\d+)(?!\d)", files.name)
        if repository is None:
            return found
        tuned = "-it" if repository["tuned"] == "it" else ""
        found["model_name"] = f"google/gemma-2-{repository['size']}{tuned}"
        if "/embedding/" in f"/{files.name}/":
            return {**found, "hook_name": "layers.0.resid_pre"}  # Gemma has no embeddings of positions to add
        hook = _HOOKS.get(repository["site"])
        return found if layer is None or hook is None else {**found, "hook_name": hook.format(layer[1])}


def _read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a file, as 32-bit floats, by SAELens' names; objects, which only pickles hold, are refused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise SaeError(f"{path} is damaged, or not a file of plain arrays ({error})", AGAIN) from error
    odd = next((name for name, value in arrays.items() if value.dtype.kind not in "fiu"), None)
    if odd is not None:
        raise SaeError(f"{path}: {odd} holds {arrays[odd].dtype}, not numbers", AGAIN)
    return {re.sub(r"^w_", "W_", name): torch.from_numpy(value.astype(np.float32)) for name, value in arrays.items()}
