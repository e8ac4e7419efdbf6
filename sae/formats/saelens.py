"""SAELens' layout, which is ours: `cfg.json` and `sae_weights.safetensors`.

An autoencoder is kept in the form in which it is used. What SAELens' training itself saves on the way is read too:
BatchTopK and Matryoshka with their running threshold, and decoder lengths that are not folded in yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.architectures.registry import loadable
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_decoder_lengths
from sae.formats.interface import Files, Format
from sae.formats.reading import Shapes, read_safetensors, shapes_of
from sae.formats.saelens_config import SaeLensConfig, read_config

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
        tensors = {
            name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in sae.tensors().items()
        }
        save_file(tensors, folder / self.weights)
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
