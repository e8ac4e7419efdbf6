"""SAELens' `cfg.json`: what the weights mean. Version 6, and the flat files of the versions before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.errors import SaeError
from sae.formats.reading import active_latents, read_object, size

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
    if architecture == "topk" or _old_topk(config):
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


def _old_topk(config: Mapping[str, Any]) -> bool:
    """Before version 6, topk was an activation function of the standard architecture."""
    return "topk" in (config.get("activation_fn_str"), config.get("activation_fn"))


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config.get("metadata"), dict):
        return dict(config["metadata"])
    renamed = {"hook_point": "hook_name"}
    known = ("model_name", "hook_name", "hook_point", "context_size", "dataset_path", "prepend_bos")
    return {renamed.get(key, key): config[key] for key in known if key in config}
