"""The classes of dictionary_learning: their tensors, and how they and our forms express each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sae.architectures.gated import GatedSae
from sae.architectures.jumprelu import JumpReluSae
from sae.architectures.standard import StandardSae
from sae.architectures.topk import TopKSae
from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.equivalent import fold_decoder_lengths, has_unit_decoder, with_centring
from sae.formats.reading import active_latents

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


def _from_linear(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        "W_enc": tensors["encoder.weight"].t().contiguous(),
        "W_dec": tensors["decoder.weight"].t().contiguous(),
    }


def _auto_encoder(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    """The library's loader brings decoder rows to length 1, and so do we: activations are then those that it gives."""
    found = {**_from_linear(tensors), "b_enc": tensors["encoder.bias"], "b_dec": tensors["bias"]}
    if not has_unit_decoder(found["W_dec"]):
        found = fold_decoder_lengths(found)
    return StandardSae(**found, apply_b_dec_to_input=True)


def _auto_encoder_new(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    biases = {"b_enc": tensors["encoder.bias"], "b_dec": tensors["decoder.bias"]}
    return StandardSae(**_from_linear(tensors), **biases, apply_b_dec_to_input=False)


def _gated(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    return GatedSae(
        **_from_linear(tensors),
        b_dec=tensors["decoder_bias"],
        b_gate=tensors["gate_bias"],
        b_mag=tensors["mag_bias"],
        r_mag=tensors["r_mag"],
        apply_b_dec_to_input=True,
    )


def _jump_relu(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    return JumpReluSae(**tensors, apply_b_dec_to_input=False)


def _topk(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = {**_from_linear(tensors), "b_enc": tensors["encoder.bias"], "b_dec": tensors["b_dec"]}
    k = active_latents(path, tensors["k"].item(), found["W_dec"].shape[0])
    return TopKSae(**found, k=k, apply_b_dec_to_input=True)


def _batch_topk(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = {**_from_linear(tensors), "b_enc": tensors["encoder.bias"], "b_dec": tensors["b_dec"]}
    return JumpReluSae(**found, threshold=_one_threshold(path, tensors), apply_b_dec_to_input=True)


def _matryoshka(path: Path, tensors: Mapping[str, Tensor]) -> SparseAutoencoder:
    found = {name: tensors[name] for name in _DIRECT}
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


CLASSES: Mapping[str, DictionaryClass] = {
    "AutoEncoder": DictionaryClass({**_LINEAR, "encoder.bias": _DICT, "bias": _INPUT}, _auto_encoder),
    "AutoEncoderNew": DictionaryClass({**_LINEAR, "encoder.bias": _DICT, "decoder.bias": _INPUT}, _auto_encoder_new),
    "GatedAutoEncoder": DictionaryClass(
        {**_LINEAR, "decoder_bias": _INPUT, "r_mag": _DICT, "gate_bias": _DICT, "mag_bias": _DICT}, _gated
    ),
    "JumpReluAutoEncoder": DictionaryClass({**_DIRECT, "threshold": _DICT}, _jump_relu),
    "AutoEncoderTopK": DictionaryClass(_TOPK, _topk),
    "BatchTopKSAE": DictionaryClass(_TOPK, _batch_topk),
    "MatryoshkaBatchTopKSAE": DictionaryClass(
        {**_DIRECT, "k": (), "threshold": (), "group_sizes": ("groups",)}, _matryoshka
    ),
}
"""By the name in `config.json`'s `trainer.dict_class`."""
