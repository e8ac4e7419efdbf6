"""SAELens' layout, which is ours: `cfg.json`, version 6 and the flat files before it, and `sae_weights.safetensors`.

An autoencoder is kept in the form in which it is used, transcoders too. What SAELens' training itself saves on the way
is read as well: BatchTopK and Matryoshka with their running threshold, and decoder lengths that are not folded in yet.
TopK transcoders, which SAELens has no class for, are written in its way all the same, for our own reading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sae.architectures.registry import loadable
from sae.base import Normalisation, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_decoder_lengths, fold_input_factor, form_of
from sae.formats.interface import Files, Writable
from sae.formats.tensors import (
    active_latents,
    drop_unit_scaling,
    read_safetensors,
    require_known,
    require_shapes,
    size,
    transcoder_shapes,
    write_safetensors,
)

_APPLIED: Mapping[str, Normalisation] = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm_rescale",
}
"""`normalize_activations` that are applied to every vector as it comes."""
_FACTOR = "expected_average_only_in"
_REFUSED_PROCESSING = ("fold_value_biases", "refactor_factored_attn_matrices")
"""Ways to load the subject in TransformerLens that change what its hooks give, and that are not reproduced here."""
_CENTRED = "center_writing_weights"
_ACTIVATIONS = ("relu", "topk", "jumprelu", "None")
_BY_BATCH = ("batchtopk", "matryoshka_batchtopk")
_TRANSCODERS: Mapping[str, tuple[str, bool]] = {
    f"{lead}{skip}transcoder": (form, bool(skip))
    for lead, form in (("", "standard"), ("jumprelu_", "jumprelu"), ("topk_", "topk"))
    for skip in ("", "skip_")
}
"""Form, and whether there is a skip connection, by the name of the architecture."""


@dataclass(frozen=True)
class SaeLensConfig:
    """What `cfg.json` says, checked."""

    architecture: str
    """The form in use: what is trained by batches is used as `jumprelu`."""
    d_in: int
    d_sae: int
    d_out: int
    apply_b_dec_to_input: bool
    k: int | None
    """Active latents per vector; topk has it, the others do not."""
    rescale_by_decoder_norm: bool
    """Whether activations are multiplied by the length of their decoder row before they are ranked."""
    one_threshold: bool
    """Whether this is BatchTopK or Matryoshka as training saves it, with one `topk_threshold` for all latents."""
    normalisation: Normalisation
    factor: float | None
    """What vectors are multiplied by before they are encoded."""
    transcodes: bool
    skips: bool
    """Whether a transcoder adds its input, through a matrix, to its output."""
    metadata: Mapping[str, Any]


def read_config(files: Files) -> SaeLensConfig:
    """Read a `cfg.json`, with what a registry says otherwise. SaeError names the key that is missing or unsupported."""
    path, config = require_known(files)
    config.update(files.overrides)
    metadata = _metadata(config)
    _refuse_others(path, config)
    architecture, skips = _TRANSCODERS.get(named := str(config.get("architecture", "standard")), (named, False))
    k = None
    # Before version 6, topk was an activation function of the standard architecture.
    if "topk" in (architecture, config.get("activation_fn_str"), config.get("activation_fn")):
        found = config.get("k", (config.get("activation_fn_kwargs") or {}).get("k"))
        architecture, k = "topk", active_latents(path, found, size(path, config, "d_sae"))
    transcodes = named in _TRANSCODERS
    by_batch = architecture in _BY_BATCH
    normalisation, factor = _normalisation(files, config, metadata)
    return SaeLensConfig(
        architecture="jumprelu" if by_batch else architecture,
        d_in=size(path, config, "d_in"),
        d_sae=size(path, config, "d_sae"),
        d_out=size(path, config, "d_out" if transcodes and "d_out" in config else "d_in"),
        apply_b_dec_to_input=not transcodes and bool(config.get("apply_b_dec_to_input", True)),
        k=k,
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        one_threshold=by_batch,
        normalisation=normalisation,
        factor=factor,
        transcodes=transcodes,
        skips=skips,
        metadata=metadata,
    )


def _refuse_others(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse what would be read as something that it is not."""
    for key in ("activation_fn_str", "activation_fn"):
        if str(config.get(key)) not in _ACTIVATIONS:
            raise SaeError(f"{path}: {key} = '{config[key]}' is not supported", "choose a checkpoint with relu or topk")
    for key in ("hook_head_index", "hook_point_head_index"):
        if config.get(key) is not None:
            raise SaeError(f"{path}: {key} = {config[key]}: the vectors of one head are no hook here", "choose another")


def _normalisation(
    files: Files, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[Normalisation, float | None]:
    """What is done to a vector before it is encoded, and a factor that is to be folded into the weights."""
    named = config.get("normalize_activations") or "none"
    named = _FACTOR if named is True else str(named)
    found, factor = _APPLIED.get(named), None
    if named == _FACTOR:
        if files.factor is None:
            raise SaeError(
                f"{files.config}: normalize_activations = '{named}', and its factor is not in the file",
                "name it as SAELens' registry does, saelens:RELEASE/ID, or fold the factor in with SAELens and save it",
            )
        found, factor = "none", files.factor
    if found is None:
        raise SaeError(
            f"{files.config}: normalize_activations = '{named}' is not supported",
            "fold it into the weights with SAELens and save again, or choose a checkpoint that takes raw vectors",
        )
    processing = metadata.get("model_from_pretrained_kwargs") or {}
    for key in _REFUSED_PROCESSING:
        if processing.get(key):
            raise SaeError(f"{files.config}: it is for a subject loaded with {key} = true", "choose another checkpoint")
    if not processing.get(_CENTRED) or found == "layer_norm":  # which takes the mean away by itself
        return found, factor
    if found != "none":
        raise SaeError(f"{files.config}: {named} with {_CENTRED} is not supported", "choose another checkpoint")
    return "centred", factor


_FLAT = ("model_name", "hook_name", "hook_point", "context_size", "dataset_path", "prepend_bos", "neuronpedia_id")


def _metadata(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the training; keys at the top level are those of files before version 6, or of a registry."""
    nested = config.get("metadata")
    known = dict(nested) if isinstance(nested, dict) else {}
    renamed = {"hook_point": "hook_name"}
    flat = {renamed.get(key, key): config[key] for key in (*_FLAT, "model_from_pretrained_kwargs") if key in config}
    return known | {key: value for key, value in flat.items() if value is not None}


LAYOUT_VERSION = "6.54.0"
"""Version of SAELens whose layout is written; readers take a file without one, or under 6.0, for an older layout."""


class SaeLens(Writable):
    """SAELens, from the flat files before version 6 on."""

    name = "saelens"
    config = "cfg.json"
    weights = "sae_weights.safetensors"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        config = read_config(files)
        form = loadable(config.architecture)
        tensors = _tensors(files.weights, form, config, device)
        if config.rescale_by_decoder_norm:
            # These lengths come before the ranking and so before the threshold, which needs no folding.
            tensors = fold_decoder_lengths(tensors)
        extra: dict[str, Any] = {} if config.k is None else {"k": config.k}
        made = form(
            **tensors,
            apply_b_dec_to_input=config.apply_b_dec_to_input,
            normalisation=config.normalisation,
            transcodes=config.transcodes,
            **extra,
        )
        return made if config.factor is None else fold_input_factor(made, config.factor)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        _, config = require_known(files)
        return _metadata({**config, **files.overrides})

    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """See Format."""
        said = {"sae_lens_training_version": None, **metadata, "sae_lens_version": LAYOUT_VERSION}
        if sae.normalisation == "centred":
            said["model_from_pretrained_kwargs"] = {**(said.get("model_from_pretrained_kwargs") or {}), _CENTRED: True}
        config = {
            "architecture": _named(sae),
            "d_in": sae.d_in,
            "d_sae": sae.width,
            **({"d_out": sae.d_out} if sae.transcodes else {}),
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": sae.apply_b_dec_to_input,
            "normalize_activations": "none" if sae.normalisation == "centred" else sae.normalisation,
            "reshape_activations": "none",
            "metadata": said,
            **sae.settings,
        }
        text = json.dumps(config, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_safetensors(folder / self.weights, sae.tensors())
        (folder / self.config).write_text(text, "utf8")


def _named(sae: SparseAutoencoder) -> str:
    if not sae.transcodes:
        return sae.architecture
    form = (sae.architecture, sae.W_skip is not None)
    named = next((name for name, known in _TRANSCODERS.items() if known == form), None)
    if named is None:
        raise SaeError(f"this layout can't hold {form_of(sae)}", "it holds standard, jumprelu and topk transcoders")
    return named


def _tensors(path: Path, form: type[SparseAutoencoder], config: SaeLensConfig, device: str) -> dict[str, Tensor]:
    """The form's tensors, after the file's names and shapes were compared with what the configuration announces."""
    tensors = read_safetensors(path, device)
    drop_unit_scaling(path, tensors)
    symbols = transcoder_shapes(form.SHAPES, config.skips) if config.transcodes else dict(form.SHAPES)
    if config.one_threshold:
        symbols = _with_stored_threshold(symbols, "topk_threshold", ())
    elif "threshold" in symbols and "log_threshold" in tensors:
        symbols = _with_stored_threshold(symbols, "log_threshold", ("d_sae",))
    require_shapes(path, tensors, symbols, {"d_in": config.d_in, "d_sae": config.d_sae, "d_out": config.d_out})
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
