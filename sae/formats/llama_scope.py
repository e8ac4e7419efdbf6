"""Llama Scope (He et al. 2024): `hyperparams.json` and `checkpoints/final.safetensors`; JumpReLU with one threshold.

Its vectors were scaled to a mean length of sqrt(d_in), by a factor that the file tells. What comes out here is what
SAELens makes of it: the factor is folded into encoder and decoder, and multiplies the threshold.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from sae.architectures.jumprelu import JumpReluSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_input_factor
from sae.formats.interface import Files, Format, Location
from sae.formats.tensors import linear_tensors, number, read_safetensors, require_known, size

CONFIG, WEIGHTS = "hyperparams.json", "checkpoints/final.safetensors"


class LlamaScope(Format):
    """Llama Scope."""

    name = "llama_scope"
    needs: ClassVar[str] = f"{CONFIG} with {WEIGHTS} (llama_scope)"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        config = place.file(CONFIG)
        weights = place.file(WEIGHTS) if config is not None else None
        return None if weights is None else Files(weights, config, place.name)

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        path, config = require_known(files)
        if config.get("act_fn", "jumprelu") != "jumprelu":
            raise SaeError(f"{path}: act_fn = '{config['act_fn']}' can't be loaded", "valid: jumprelu")
        if config.get("apply_decoder_bias_to_pre_encoder"):
            raise SaeError(f"{path}: apply_decoder_bias_to_pre_encoder is not supported", "choose another checkpoint")
        sizes = {"d_in": size(path, config, "d_model"), "d_sae": size(path, config, "d_sae")}
        lengths = config.get("dataset_average_activation_norm")
        length = number(path, lengths if isinstance(lengths, dict) else {}, "in", above=0)
        threshold = number(path, config, "jump_relu_threshold")
        factor = math.sqrt(sizes["d_in"]) / length
        tensors = linear_tensors(files.weights, read_safetensors(files.weights, device), sizes)
        made = JumpReluSae(
            **tensors,
            threshold=torch.full((sizes["d_sae"],), threshold * factor, device=device),
            apply_b_dec_to_input=False,
            transcodes=_transcodes(config),
        )
        return fold_input_factor(made, factor if files.factor is None else files.factor)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        _, config = require_known(files)
        hook = config.get("hook_point_in")
        found: dict[str, Any] = {"context_size": 1024, "prepend_bos": True}
        if "Llama3_1-8B-Base" in files.name:
            found["model_name"] = "meta-llama/Llama-3.1-8B"
        return {**found, "hook_name": hook} if isinstance(hook, str) else found


def _transcodes(config: dict[str, Any]) -> bool:
    return config.get("hook_point_out", config.get("hook_point_in")) != config.get("hook_point_in")
