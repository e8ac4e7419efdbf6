"""Gemma Scope 2: `params.safetensors`, with a `config.json` in most folders; SAEs and transcoders of Gemma 3, JumpReLU.

Where the configuration is missing, model, site and layer are those of the names of repository and folders
(`google/gemma-scope-2-4b-pt/resid_post_all/layer_9_width_16k_l0_small`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sae.architectures.jumprelu import JumpReluSae
from sae.base import Named, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.gemma_scope import CONTEXT
from sae.formats.interface import Files, Format, Location
from sae.formats.tensors import matrix_sizes, read_object, read_safetensors, require_shapes, transcoder_shapes

WEIGHTS, CONFIG = "params.safetensors", "config.json"
_NAMES = {"w_enc": "W_enc", "w_dec": "W_dec", "affine_skip_connection": "W_skip"}
_HOOKS = {
    "resid_post": "blocks.{}.hook_resid_post",
    "attn_out": "blocks.{}.attn.hook_z",
    "mlp_out": "blocks.{}.hook_mlp_out",
    # The transcoders read what comes out of the norm before the MLP, which TransformerLens has no name for.
    "transcoder": "layers.{}.mlp.in",
}
_MODULES = {
    r"layers\.(\d+)\.output": _HOOKS["resid_post"],
    r"layers\.(\d+)\.self_attn\.o_proj\.input": _HOOKS["attn_out"],
    r"layers\.(\d+)\.post_feedforward_layernorm\.output": _HOOKS["mlp_out"],
    r"layers\.(\d+)\.pre_feedforward_layernorm\.output": _HOOKS["transcoder"],
}


class GemmaScope2(Format):
    """Gemma Scope 2."""

    name = "gemma_scope_2"
    needs: ClassVar[str] = f"{WEIGHTS} (gemma_scope_2)"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        weights = place.file(WEIGHTS)
        return None if weights is None else Files(weights, place.file(CONFIG), place.name)

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        config = _config(files)
        named = config.get("architecture", "jump_relu")
        if named != "jump_relu":
            raise SaeError(f"{files.config}: architecture = '{named}' can't be loaded", "valid: jump_relu")
        found = read_safetensors(files.weights, device)
        tensors: Named = {_NAMES.get(name, name): tensor for name, tensor in found.items()}
        d_in, latents = matrix_sizes(files.weights, tensors, "W_enc")
        if not _is_transcoder(files, config, tensors):
            require_shapes(files.weights, tensors, JumpReluSae.SHAPES, {"d_in": d_in, "d_sae": latents})
            return JumpReluSae(**tensors, apply_b_dec_to_input=False)
        _, d_out = matrix_sizes(files.weights, tensors, "W_dec")
        shapes = transcoder_shapes(JumpReluSae.SHAPES, skips=False)
        if "W_skip" in tensors:
            shapes["W_skip"] = ("d_in", "d_out")
        require_shapes(files.weights, tensors, shapes, {"d_in": d_in, "d_sae": latents, "d_out": d_out})
        if "W_skip" in tensors:
            tensors["W_skip"] = tensors["W_skip"].t().contiguous()
        return JumpReluSae(**tensors, apply_b_dec_to_input=False, transcodes=True)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        config = _config(files)
        found: dict[str, Any] = {"context_size": CONTEXT, "prepend_bos": True}
        if (model := _model(files, config)) is not None:
            found["model_name"] = model
        if (hook := _hook(files, config)) is not None:
            found["hook_name"] = hook
        return found


def _config(files: Files) -> Mapping[str, Any]:
    return {} if files.config is None else read_object(files.config)


def _is_transcoder(files: Files, config: Mapping[str, Any], tensors: Mapping[str, object]) -> bool:
    return "W_skip" in tensors or bool(config.get("hf_hook_point_out")) or "transcoder" in files.name


def _model(files: Files, config: Mapping[str, Any]) -> str | None:
    """`google/gemma-3-4b-pt`; the smallest model's repository lacks the ending."""
    named = config.get("model_name")
    if not isinstance(named, str):
        match = re.search(r"gemma-scope-2-(\w+-(?:pt|it))(?=/|$)", files.name)
        named = None if match is None else f"gemma-3-{match[1]}"
    if named is None:
        return None
    plain = named.removeprefix("google/").replace("-v3", "-3")
    return f"google/{plain.removesuffix('-pt') if '270m' in plain else plain}"


def _hook(files: Files, config: Mapping[str, Any]) -> str | None:
    said = config.get("hf_hook_point_in")
    if isinstance(said, str):
        for pattern, hook in _MODULES.items():
            if match := re.search(f"{pattern}$", said):
                return hook.format(match[1])
        return None
    layer = re.search(r"layer_(\d+)(?!\d)", files.name)
    site = next((hook for site, hook in _HOOKS.items() if f"/{site}" in files.name), None)
    return None if layer is None or site is None else site.format(layer[1])
