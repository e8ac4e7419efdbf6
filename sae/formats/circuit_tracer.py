"""Transcoders of circuit-tracer: one `layer_N.safetensors` per layer, or a cross-layer transcoder's `W_enc_N` and
`W_dec_N`, with a `config.yaml` beside them; ReLU.

A cross-layer transcoder writes into every later layer. Its latents are read as they are; of its decoders the sum is
kept, as SAELens does, which says in which direction a latent writes and reconstructs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml  # type: ignore[import-untyped]

from sae.architectures.standard import StandardSae
from sae.base import Named, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.interface import Files, Format, Location
from sae.formats.tensors import AGAIN, matrix_sizes, read_safetensors, require_shapes, transcoder_shapes

_FILE = re.compile(r"layer_(\d+)\.safetensors$")
_LAYER = re.compile(r"(?:^|/)(\d+)$")
_HOOKS = {"mlp.hook_in": "layers.{}.mlp.in", "hook_resid_mid": "blocks.{}.hook_resid_mid"}
_MOST_OF_CONFIG = 1 << 20


class PerLayerTranscoder(Format):
    """One transcoder per layer."""

    name = "circuit_tracer"
    needs: ClassVar[str] = "the file layer_N.safetensors, beside a config.yaml (circuit_tracer)"

    def find(self, place: Location) -> Files | None:
        """See Format."""
        weights = place.file() if _FILE.search(place.name) else None
        if weights is None:
            return None
        told = next((p for n in ("wandb-config.yaml", "wanb-config.yaml") if (p := place.file(f"../{n}"))), None)
        config = place.file("../config.yaml")
        if told is None and config is None:
            return None
        return Files(weights, config, place.name, more=() if told is None else (told,))

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        tensors = read_safetensors(files.weights, device)
        if "W_enc" in tensors and tensors["W_enc"].ndim == 2:
            tensors["W_enc"] = tensors["W_enc"].t().contiguous()
        return _relu(files.weights, tensors)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        layer = _FILE.search(files.name)
        assert layer is not None, "it was found by this"
        config = {} if files.config is None else _read_yaml(files.config)
        found: dict[str, Any] = {"hook_name": _HOOKS["mlp.hook_in"].format(layer[1])}
        model = config.get("model_name")
        if model is None and (match := re.search(r"qwen3-(\d+(?:\.\d+)?)b", files.name)):
            model = f"Qwen/Qwen3-{match[1]}B"
        if model is not None:
            found["model_name"] = str(model)
        return found


class CrossLayerTranscoder(Format):
    """The latents of one layer of a cross-layer transcoder: `owner/name/3`."""

    name = "cross_layer_transcoder"
    needs: ClassVar[str] = (
        "FOLDER/N, with W_enc_N.safetensors, W_dec_N.safetensors, config.yaml (cross_layer_transcoder)"
    )

    def find(self, place: Location) -> Files | None:
        """See Format."""
        layer = _LAYER.search(place.name)
        if layer is None:
            return None
        config, weights = place.file("../config.yaml"), place.file(f"../W_enc_{layer[1]}.safetensors")
        decoders = None if weights is None or config is None else place.file(f"../W_dec_{layer[1]}.safetensors")
        return None if weights is None or decoders is None else Files(weights, config, place.name, more=(decoders,))

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        number = _number(files)
        found = read_safetensors(files.weights, device) | read_safetensors(files.more[0], device)
        tensors = {re.sub(rf"_{number}$", "", name): tensor for name, tensor in found.items()}
        if "W_enc" in tensors and tensors["W_enc"].ndim == 2:
            tensors["W_enc"] = tensors["W_enc"].t().contiguous()
        if "W_dec" in tensors and tensors["W_dec"].ndim == 3:
            tensors["W_dec"] = tensors["W_dec"].sum(dim=1)
        return _relu(files.weights, tensors)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        assert files.config is not None, "it is found with one"
        config = _read_yaml(files.config)
        site = str(config.get("feature_input_hook"))
        hook = _HOOKS.get(site, "blocks.{}." + site).format(_number(files))
        model = config.get("model_name")
        return {"hook_name": hook} if model is None else {"hook_name": hook, "model_name": str(model)}


def _number(files: Files) -> str:
    layer = _LAYER.search(files.name)
    assert layer is not None, "it was found by this"
    return layer[1]


def _relu(path: Path, tensors: Named) -> StandardSae:
    """A transcoder without thresholds, whose tensors have SAELens' names; one matrix may be added to its output."""
    (d_in, latents), (_, d_out) = matrix_sizes(path, tensors, "W_enc"), matrix_sizes(path, tensors, "W_dec")
    shapes = transcoder_shapes(StandardSae.SHAPES, skips="W_skip" in tensors)
    require_shapes(path, tensors, shapes, {"d_in": d_in, "d_sae": latents, "d_out": d_out})
    return StandardSae(**tensors, apply_b_dec_to_input=False, transcodes=True)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    """The mapping in a YAML file, read without objects and tags."""
    try:
        if path.stat().st_size > _MOST_OF_CONFIG:
            raise SaeError(f"{path} is too large for a configuration", AGAIN)
        found = yaml.safe_load(path.read_text("utf8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SaeError(f"{path} is not readable YAML ({type(error).__name__})", AGAIN) from error
    if not isinstance(found, dict):
        raise SaeError(f"{path} holds no YAML mapping", AGAIN)
    return found
