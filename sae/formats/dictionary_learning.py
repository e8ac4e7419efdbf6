"""dictionary_learning's layout: `config.json`, which names a class of the library, and `ae.pt`, its state dict.

All its trained classes are read. What training leaves behind when it is interrupted, a backup with the optimiser's
state under the same name `ae.pt`, is told apart and refused: its biases may be those of scaled vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.base import SparseAutoencoder
from sae.errors import SaeError
from sae.formats.dictionary_classes import CLASSES, class_for
from sae.formats.interface import Files, Format
from sae.formats.reading import Shapes, read_object, read_pickle, shapes_of, size

_METADATA: Mapping[str, tuple[str, str]] = {
    "model_name": ("trainer", "lm_name"),
    "hook_name": ("trainer", "submodule_name"),
    "context_size": ("buffer", "ctx_len"),
}
"""Section and key of `config.json`, by SAELens' name."""

_COUNTS = ("k", "group_sizes")
"""The tensors that hold whole numbers; the others are weights, and become 32-bit floats."""


class DictionaryLearning(Format):
    """dictionary_learning, as its `load_dictionary` reads it."""

    name = "dictionary_learning"
    config = "config.json"
    weights = "ae.pt"

    def read(self, files: Files, device: str) -> SparseAutoencoder:
        """See Format."""
        trainer = _section(read_object(files.config), "trainer")
        named = str(trainer.get("dict_class"))
        if named not in CLASSES:
            raise SaeError(
                f"{files.config}: trainer.dict_class = '{named}' can't be loaded",
                f"valid: {', '.join(sorted(CLASSES))}",
            )
        sizes = {key: size(files.config, trainer, key) for key in ("activation_dim", "dict_size")}
        tensors = _state_dict(files.weights, device)
        if "group_sizes" in tensors:
            sizes["groups"] = tensors["group_sizes"].numel()
        Shapes(CLASSES[named].symbols, sizes).check(files.weights, shapes_of(tensors))
        _check_k(files, trainer, tensors)
        return CLASSES[named].read(files.weights, tensors)

    def metadata(self, config: Path) -> dict[str, Any]:
        """See Format."""
        found = read_object(config)
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
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise SaeError(f"{path}: {name} is no plain tensor", "get the checkpoint again")
    counts = {name: found[name].detach() for name in _COUNTS if name in found}
    return {**{name: value.detach().to(torch.float32) for name, value in found.items()}, **counts}
