"""Save and load in SAELens' layout: `cfg.json` and `sae_weights.safetensors`. Nothing else is read, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.files import atomic_folder
from sae.hub import CONFIG, WEIGHTS, locate
from sae.layout import Layout, read_layout
from sae.registry import loadable

LAYOUT_VERSION = "6.54.0"
"""Version of SAELens whose layout is written; readers take a file without one, or under 6.0, for an older layout."""


def save(sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write an autoencoder as SAELens does, in place of what `folder` holds, whole or not at all.

    `metadata` takes JSON values; SAELens' own tools look for `model_name`, `hook_name`, `context_size`, `dataset_path`
    and `prepend_bos`. Raises SaeError when the folder can't be written.
    """
    config = {
        "architecture": sae.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": LAYOUT_VERSION, "sae_lens_training_version": None, **metadata},
        **sae.settings,
    }
    text = json.dumps(config, indent=1, sort_keys=True, allow_nan=False) + "\n"
    tensors = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in sae.tensors().items()}
    with atomic_folder(folder) as temporary:
        save_file(tensors, temporary / WEIGHTS)
        (temporary / CONFIG).write_text(text, "utf8")


def load(where: str | Path, device: str = "cpu") -> SparseAutoencoder:
    """Load a local folder, or `owner/name`, `owner/name/folder` or either with `@revision` from the Hugging Face hub.

    Knows the architectures standard, gated, jumprelu and topk, of version 6 and before. Weights become 32-bit floats.
    Raises SaeError for anything that is missing, damaged, of another shape than announced, or unsupported.
    """
    config_path, weights_path = locate(where)
    layout = read_layout(config_path)
    form = loadable(layout.architecture)
    tensors = _read_tensors(weights_path, form, layout, device)
    extra: dict[str, Any] = {}
    if layout.architecture == "topk":
        extra["k"] = layout.k
        if layout.rescale_by_decoder_norm:
            tensors = _fold_decoder_norm(tensors)
    return form(**tensors, apply_b_dec_to_input=layout.apply_b_dec_to_input, **extra)


def read_metadata(where: str | Path) -> Mapping[str, Any]:
    """What a checkpoint says about its training: `model_name`, `hook_name`, `context_size`... as far as it is known.

    `where` and errors as in `load`.
    """
    return read_layout(locate(where)[0]).metadata


def _read_tensors(path: Path, form: type[SparseAutoencoder], layout: Layout, device: str) -> dict[str, Tensor]:
    """The form's tensors, after their names and shapes were compared with the file's header."""
    sizes = {"d_in": layout.d_in, "d_sae": layout.d_sae}
    try:
        with safe_open(path, framework="pt", device=device) as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            for name, symbols in form.SHAPES.items():
                expected = tuple(sizes[symbol] for symbol in symbols)
                _check_tensor(path, name, f"({', '.join(symbols)}) = {expected}", expected, found)
            return {name: file.get_tensor(name).to(torch.float32) for name in form.SHAPES}
    except (SafetensorError, OSError) as error:
        raise SaeError(f"{path} is not a readable safetensors file ({error})", "get the checkpoint again") from error


def _check_tensor(
    path: Path, name: str, shown: str, expected: tuple[int, ...], found: Mapping[str, tuple[int, ...]]
) -> None:
    if name not in found:
        raise SaeError(
            f"{path} has no tensor {name} of shape {shown}",
            f"it holds {', '.join(sorted(found)) or 'none'}; check that cfg.json names the right architecture",
        )
    if found[name] != expected:
        raise SaeError(
            f"{path}: {name} has shape {found[name]}, not {shown}", "check that cfg.json belongs to these weights"
        )


def _fold_decoder_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the decoder's norms into the encoder: SAELens ranks and reports activations times these norms."""
    norms = torch.linalg.vector_norm(tensors["W_dec"], dim=1)
    return {
        **tensors,
        "W_enc": tensors["W_enc"] * norms,
        "b_enc": tensors["b_enc"] * norms,
        "W_dec": tensors["W_dec"] / norms.clamp_min(torch.finfo(norms.dtype).tiny).unsqueeze(1),
    }
