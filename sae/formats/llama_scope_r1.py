"""Llama Scope R1 Distill: `config.json` and `sae_weights.safetensors`; JumpReLU, thresholds kept as logarithms.

The factor of its vectors stands in no file, only in SAELens' registry: without it the weights are for other vectors.
"""

from __future__ import annotations

from typing import Any

from sae.architectures.jumprelu import JumpReluSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_input_factor
from sae.formats.interface import Files, Location, TwoFiles
from sae.formats.tensors import linear_tensors, read_object, read_safetensors, require_known, size

_THRESHOLD = "log_jumprelu_threshold"


class LlamaScopeR1(TwoFiles):
    """Llama Scope R1 Distill."""

    name = "llama_scope_r1"
    config = "config.json"
    weights = "sae_weights.safetensors"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        found = super().find(place)
        # A configuration of this name says nothing yet: these keys do.
        known = {} if found is None or found.config is None else read_object(found.config)
        return found if {"d_model", "expansion_factor"} <= known.keys() else None

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        path, config = require_known(files)
        if files.factor is None:
            raise SaeError(
                f"{files.name} needs the factor of its vectors, which no file of it tells",
                "name it as the registry does, saelens:RELEASE/ID ('autointerp sae list llama_scope_r1' shows them)",
            )
        d_in = size(path, config, "d_model")
        sizes = {"d_in": d_in, "d_sae": d_in * size(path, config, "expansion_factor")}
        tensors = linear_tensors(
            files.weights, read_safetensors(files.weights, device), sizes, {_THRESHOLD: ("d_sae",)}
        )
        threshold = tensors.pop(_THRESHOLD).exp()
        return fold_input_factor(JumpReluSae(**tensors, threshold=threshold, apply_b_dec_to_input=False), files.factor)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        _, config = require_known(files)
        hook = config.get("hook_point_in")
        named = {} if not isinstance(hook, str) else {"hook_name": hook}
        model = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
        return {"model_name": model, "context_size": 1024, "prepend_bos": True, **named}
