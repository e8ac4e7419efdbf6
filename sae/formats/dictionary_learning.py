"""dictionary_learning's layout: `config.json`, which names a class of the library, and `ae.pt`, its state dict.

All its trained classes are read. What training leaves behind when it is interrupted, a backup with the optimiser's
state under the same name `ae.pt`, is told apart and refused: its biases may be those of scaled vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.architectures.gated import GatedSae
from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.standard import StandardSae
from sae.architectures.topk import TopKSae
from sae.base import Named, SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_decoder_lengths, form_of, has_unit_decoder, with_centring
from sae.formats.interface import Files, Writable
from sae.formats.tensors import active_latents, plain_tensors, read_pickle, require_known, require_shapes, size

_INPUT, _DICT = ("activation_dim",), ("dict_size",)
_LINEAR = {"encoder.weight": _DICT + _INPUT, "decoder.weight": _INPUT + _DICT}
_DIRECT = {"W_enc": _INPUT + _DICT, "b_enc": _DICT, "W_dec": _DICT + _INPUT, "b_dec": _INPUT}
_TOPK: Mapping[str, tuple[str, ...]] = {**_LINEAR, "encoder.bias": _DICT, "b_dec": _INPUT, "k": (), "threshold": ()}

UNSET = -1.0
"""The threshold of a TopK, or of a BatchTopK that has not been trained for long enough to have one."""


@dataclass(frozen=True)
class DictionaryClass:
    """One class: the tensors of its state dict, and the autoencoder that they make."""

    symbols: Mapping[str, tuple[str, ...]]
    """Shapes, by the library's names for the sizes; `groups` is Matryoshka's number of groups."""
    read: Callable[[Path, Mapping[str, Tensor]], SparseAutoencoder]
    """Takes the file's path, for messages, and its tensors, whose shapes are right."""


def class_for(sae: SparseAutoencoder) -> tuple[str, dict[str, Tensor]]:
    """The class whose `encode` computes what `sae` does, and its state dict; SaeError if there is none."""
    if sae.normalisation != "none" or sae.transcodes:
        raise SaeError(f"dictionary_learning has no class for {form_of(sae)}", "write it as saelens")
    if isinstance(sae, StandardSae):
        return _as_standard(sae)
    if isinstance(sae, JumpReluSae):
        return "JumpReluAutoEncoder", with_centring(sae, subtract=False).tensors()
    tensors = with_centring(sae, subtract=True).tensors()
    if isinstance(sae, GatedSae):
        biases = {"gate_bias": tensors["b_gate"], "mag_bias": tensors["b_mag"], "r_mag": tensors["r_mag"]}
        return "GatedAutoEncoder", {**_as_linear(tensors), "decoder_bias": tensors["b_dec"], **biases}
    if isinstance(sae, TopKSae):
        buffers = {"k": torch.tensor(sae.k, dtype=torch.int32), "threshold": torch.tensor(UNSET)}
        biases = {"encoder.bias": tensors["b_enc"], "b_dec": tensors["b_dec"]}
        return "AutoEncoderTopK", {**_as_linear(tensors), **biases, **buffers}
    raise SaeError(f"dictionary_learning has no class for {sae.architecture}", "write it as saelens")


def _as_standard(sae: StandardSae) -> tuple[str, dict[str, Tensor]]:
    """The library rescales an AutoEncoder's activations when it loads decoder rows of other lengths than 1.

    What subtracts no bias, or has such rows, is therefore written as its second class for this architecture.
    """
    if sae.apply_b_dec_to_input and has_unit_decoder(sae.W_dec):
        tensors = sae.tensors()
        return "AutoEncoder", {**_as_linear(tensors), "encoder.bias": tensors["b_enc"], "bias": tensors["b_dec"]}
    tensors = with_centring(sae, subtract=False).tensors()
    return "AutoEncoderNew", {
        **_as_linear(tensors),
        "encoder.bias": tensors["b_enc"],
        "decoder.bias": tensors["b_dec"],
    }


def _as_linear(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"encoder.weight": tensors["W_enc"].t(), "decoder.weight": tensors["W_dec"].t()}


def _from_linear(tensors: Mapping[str, Tensor], **others: str) -> Named:
    """Our tensors: the matrices, and the others, each from the library's name for it."""
    return {
        "W_enc": tensors["encoder.weight"].t().contiguous(),
        "W_dec": tensors["decoder.weight"].t().contiguous(),
        **{name: tensors[theirs] for name, theirs in others.items()},
    }


def _auto_encoder(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    """The library's loader brings decoder rows to length 1, and so do we: activations are then those that it gives."""
    found = _from_linear(tensors, b_enc="encoder.bias", b_dec="bias")
    if not has_unit_decoder(found["W_dec"]):
        found = fold_decoder_lengths(found)
    return StandardSae(**found, apply_b_dec_to_input=True)


def _auto_encoder_new(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = _from_linear(tensors, b_enc="encoder.bias", b_dec="decoder.bias")
    return StandardSae(**found, apply_b_dec_to_input=False)


def _gated(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = _from_linear(tensors, b_dec="decoder_bias", b_gate="gate_bias", b_mag="mag_bias", r_mag="r_mag")
    return GatedSae(**found, apply_b_dec_to_input=True)


def _jump_relu(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found: Named = dict(tensors)
    return JumpReluSae(**found, apply_b_dec_to_input=False)


def _topk(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = _from_linear(tensors, b_enc="encoder.bias", b_dec="b_dec")
    k = active_latents(path, tensors["k"].item(), found["W_dec"].shape[0])
    return TopKSae(**found, k=k, apply_b_dec_to_input=True)


def _batch_topk(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = _from_linear(tensors, b_enc="encoder.bias", b_dec="b_dec")
    return JumpReluSae(**found, threshold=_one_threshold(path, tensors), apply_b_dec_to_input=True)


def _matryoshka(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found: Named = {name: tensors[name] for name in _DIRECT}
    return JumpReluSae(**found, threshold=_one_threshold(path, tensors), apply_b_dec_to_input=True)


def _one_threshold(path: Path, tensors: Mapping[str, Tensor]) -> Tensor:
    """The threshold of all latents, for each of them."""
    threshold = tensors["threshold"]
    if threshold < 0:
        raise SaeError(
            f"{path}: threshold = {float(threshold):g}, which means that training has not set it",
            "without it a vector can't be encoded by itself: train beyond threshold_start_step, or set it and save",
        )
    return threshold.expand(tensors["b_enc" if "b_enc" in tensors else "encoder.bias"].shape).contiguous()


_MATRYOSHKA = DictionaryClass({**_DIRECT, "k": (), "threshold": (), "group_sizes": ("groups",)}, _matryoshka)

CLASSES: Mapping[str, DictionaryClass] = {
    "AutoEncoder": DictionaryClass({**_LINEAR, "encoder.bias": _DICT, "bias": _INPUT}, _auto_encoder),
    "AutoEncoderNew": DictionaryClass({**_LINEAR, "encoder.bias": _DICT, "decoder.bias": _INPUT}, _auto_encoder_new),
    "GatedAutoEncoder": DictionaryClass(
        {**_LINEAR, "decoder_bias": _INPUT, "r_mag": _DICT, "gate_bias": _DICT, "mag_bias": _DICT}, _gated
    ),
    "JumpReluAutoEncoder": DictionaryClass({**_DIRECT, "threshold": _DICT}, _jump_relu),
    "AutoEncoderTopK": DictionaryClass(_TOPK, _topk),
    "BatchTopKSAE": DictionaryClass(_TOPK, _batch_topk),
    "MatryoshkaBatchTopKSAE": _MATRYOSHKA,
    "MatroyshkaBatchTopKSAE": _MATRYOSHKA,  # the spelling of its first months
}
"""By the name in `config.json`'s `trainer.dict_class`."""


_METADATA: Mapping[str, tuple[str, str]] = {
    "model_name": ("trainer", "lm_name"),
    "hook_name": ("trainer", "submodule_name"),
    "context_size": ("buffer", "ctx_len"),
}
"""Section and key of `config.json`, by SAELens' name."""

_COUNTS = ("k", "group_sizes")
"""The tensors that hold whole numbers; the others are weights, and become 32-bit floats."""


class DictionaryLearning(Writable):
    """dictionary_learning, as its `load_dictionary` reads it."""

    name = "dictionary_learning"
    config = "config.json"
    weights = "ae.pt"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        path, config = require_known(files)
        trainer = _section(config, "trainer")
        named = str(trainer.get("dict_class"))
        if named not in CLASSES:
            raise SaeError(
                f"{path}: trainer.dict_class = '{named}' can't be loaded",
                f"valid: {', '.join(sorted(CLASSES))}",
            )
        sizes = {key: size(path, trainer, key) for key in ("activation_dim", "dict_size")}
        tensors = _of_any_age(path, named, trainer, _state_dict(files.weights, device))
        if "group_sizes" in tensors:
            sizes["groups"] = tensors["group_sizes"].numel()
        require_shapes(files.weights, tensors, CLASSES[named].symbols, sizes)
        _check_k(files, trainer, tensors)
        return CLASSES[named].read(files.weights, tensors)

    def metadata(self, files: Files) -> dict[str, Any]:
        """See Format."""
        _, found = require_known(files)
        values = {name: _section(found, section).get(key) for name, (section, key) in _METADATA.items()}
        return {name: value for name, value in values.items() if value is not None}

    def write(self, sae: SparseAutoencoder, folder: Path, metadata: Mapping[str, Any]) -> None:
        """See Format. Of the metadata, the layout keeps the model, the hook and the context size."""
        named, tensors = class_for(sae)
        trainer = {"dict_class": named, "activation_dim": sae.d_in, "dict_size": sae.width}
        if "k" in tensors:
            trainer["k"] = int(tensors["k"])
        config: dict[str, dict[str, Any]] = {"trainer": trainer, "buffer": {}}
        for name, (section, key) in _METADATA.items():
            if name in metadata:
                config[section][key] = metadata[name]
        torch.save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / self.weights
        )
        (folder / self.config).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n", "utf8")


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _of_any_age(path: Path, named: str, trainer: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A TopK's tensors as the library writes them today.

    Until December 2024 a TopK kept its k in the configuration alone, and had no threshold; where it was trained with
    compiled kernels, its decoder was one tensor with a row per latent.
    """
    found = dict(tensors)
    if named == "AutoEncoderTopK" and "k" not in found and "threshold" not in found:
        k = trainer.get("k")
        if not isinstance(k, int):
            raise SaeError(f"{path}: trainer.k = {k}", "k must be a number: neither file says how many are active")
        found |= {"k": torch.tensor(k), "threshold": torch.tensor(UNSET)}
    if named == "AutoEncoderTopK" and "decoder" in found and "decoder.weight" not in found:
        found["decoder.weight"] = found.pop("decoder").t()
    return found


def _check_k(files: Files, trainer: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """The library's loader compares the two places of k as well."""
    if "k" in tensors and trainer.get("k", tensors["k"].item()) != tensors["k"].item():
        raise SaeError(
            f"{files.config}: trainer.k = {trainer.get('k')}, but k = {tensors['k'].item()} in {files.weights.name}",
            "check that the configuration belongs to these weights",
        )


def _state_dict(path: Path, device: str) -> dict[str, Tensor]:
    """The tensors of a finished training, floats in single precision."""
    found = read_pickle(path, device)
    if "ae" in found:
        raise SaeError(
            f"{path} is a backup of a training that was interrupted at step {found.get('step')}, not its result",
            "its biases may be those of scaled vectors: finish the training, or take one of its folder checkpoints",
        )
    tensors = plain_tensors(path, found)
    return {name: value if name in _COUNTS else value.to(torch.float32) for name, value in tensors.items()}
