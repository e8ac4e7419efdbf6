"""SAELens' layout, which is ours: `cfg.json`, version 6 and the flat files before it, and `sae_weights.safetensors`.

An autoencoder is kept in the form in which it is used. What SAELens' training itself saves on the way is read too:
BatchTopK and Matryoshka with their running threshold, and decoder lengths that are not folded in yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.architectures.registry import loadable
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_decoder_lengths
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

_NORMALISATIONS: Mapping[str, str] = {
    "expected_average_only_in": "its factor is not in the file: fold it into the weights with SAELens and save again",
    "constant_norm_rescale": "choose a checkpoint that takes raw vectors",
    "layer_norm": "choose a checkpoint that takes raw vectors",
    "covariance_whitening": "fold it into the weights with SAELens and save again",
}

_BY_BATCH = ("batchtopk", "matryoshka_batchtopk")


@dataclass(frozen=True)
class SaeLensConfig:
    """What `cfg.json` says, checked."""

    architecture: str
    """The form in use: what is trained by batches is used as `jumprelu`."""
    d_in: int
    d_sae: int
    apply_b_dec_to_input: bool
    k: int | None
    """Active latents per vector; topk has it, the others do not."""
    rescale_by_decoder_norm: bool
    """Whether activations are multiplied by the length of their decoder row before they are ranked."""
    one_threshold: bool
    """Whether this is BatchTopK or Matryoshka as training saves it, with one `topk_threshold` for all latents."""
    metadata: Mapping[str, Any]


def read_config(path: Path) -> SaeLensConfig:
    """Read a `cfg.json`. SaeError names the key that is missing or unsupported."""
    config = read_object(path)
    _refuse_normalisation(path, config)
    architecture = str(config.get("architecture", "standard"))
    k = None
    # Before version 6, topk was an activation function of the standard architecture.
    if "topk" in (architecture, config.get("activation_fn_str"), config.get("activation_fn")):
        found = config.get("k", (config.get("activation_fn_kwargs") or {}).get("k"))
        architecture, k = "topk", active_latents(path, found, size(path, config, "d_sae"))
    by_batch = architecture in _BY_BATCH
    return SaeLensConfig(
        architecture="jumprelu" if by_batch else architecture,
        d_in=size(path, config, "d_in"),
        d_sae=size(path, config, "d_sae"),
        apply_b_dec_to_input=bool(config.get("apply_b_dec_to_input", True)),
        k=k,
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        one_threshold=by_batch,
        metadata=_metadata(config),
    )


def _refuse_normalisation(path: Path, config: Mapping[str, Any]) -> None:
    """Only weights for raw vectors are taken: activations under a scaling that is not applied would be wrong ones."""
    named = config.get("normalize_activations") or "none"
    named = "expected_average_only_in" if named is True else named
    if named != "none":
        remedy = _NORMALISATIONS.get(named, "choose a checkpoint that takes raw vectors")
        raise SaeError(f"{path}: normalize_activations = '{named}' is not supported", remedy)


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config.get("metadata"), dict):
        return dict(config["metadata"])
    renamed = {"hook_point": "hook_name"}
    known = ("model_name", "hook_name", "hook_point", "context_size", "dataset_path", "prepend_bos")
    return {renamed.get(key, key): config[key] for key in known if key in config}


LAYOUT_VERSION = "6.54.0"
"""Version of SAELens whose layout is written; readers take a file without one, or under 6.0, for an older layout."""


class SaeLens(Format):
    """SAELens, from the flat files before version 6 on."""

    name = "saelens"
    config = "cfg.json"
    weights = "sae_weights.safetensors"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        config = read_config(files.config)
        form = loadable(config.architecture)
        tensors = _tensors(files.weights, form, config, device)
        if config.rescale_by_decoder_norm:
            # These lengths come before the ranking and so before the threshold, which needs no folding.
            tensors = fold_decoder_lengths(tensors)
        extra: dict[str, Any] = {} if config.k is None else {"k": config.k}
        return form(**tensors, apply_b_dec_to_input=config.apply_b_dec_to_input, **extra)

    def metadata(self, config: Path) -> dict[str, Any]:
        """See Format."""
        return dict(read_config(config).metadata)

    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """See Format."""
        config = {
            "architecture": sae.architecture,
            "d_in": sae.d_in,
            "d_sae": sae.width,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": sae.apply_b_dec_to_input,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {"sae_lens_training_version": None, **metadata, "sae_lens_version": LAYOUT_VERSION},
            **sae.settings,
        }
        text = json.dumps(config, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_safetensors(folder / self.weights, sae.tensors())
        (folder / self.config).write_text(text, "utf8")


def _tensors(path: Path, form: type[SparseAutoencoder], config: SaeLensConfig, device: str) -> dict[str, Tensor]:
    """The form's tensors, after the file's names and shapes were compared with what the configuration announces."""
    tensors = read_safetensors(path, device)
    _drop_unit_scaling(path, tensors)
    symbols = dict(form.SHAPES)
    if config.one_threshold:
        symbols = _with_stored_threshold(symbols, "topk_threshold", ())
    elif "threshold" in symbols and "log_threshold" in tensors:
        symbols = _with_stored_threshold(symbols, "log_threshold", ("d_sae",))
    Shapes(symbols, {"d_in": config.d_in, "d_sae": config.d_sae}).check(path, shapes_of(tensors))
    if "topk_threshold" in symbols:
        tensors["threshold"] = tensors.pop("topk_threshold").expand(config.d_sae).contiguous()
    if "log_threshold" in symbols:
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    return tensors


def _with_stored_threshold(
    symbols: Mapping[str, tuple[str, ...]], name: str, shape: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The shapes of a file that training saved, which keeps the threshold under another name."""
    return {name: shape, **{key: value for key, value in symbols.items() if key != "threshold"}}


def _drop_unit_scaling(path: Path, tensors: dict[str, Tensor]) -> None:
    """Early versions kept factors for the activations; SAELens takes them away as well when all are 1."""
    factors = tensors.pop("scaling_factor", None)
    if factors is not None and not torch.allclose(factors, torch.ones_like(factors)):
        raise SaeError(f"{path}: scaling_factor differs from 1", "fold it into the decoder and save without it")
