"""Load a causal language model and its tokenizer, once per process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from autointerp.errors import BadInput, nearest
from autointerp.models.half import halve
from autointerp.models.locate import OFFLINE, Source, locate
from autointerp.models.quiet import UNREADABLE, first_line, quiet
from sae.devices import usable_device
from sae.errors import SaeError

FULL = "float32"
"""The precision where nobody says another."""
_DTYPES = {FULL: torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run: in evaluation mode, on its device, its parameters without gradients."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: str
    """Names the weights on every machine: hub id and commit, or the hash of the files. Never a path."""
    device: torch.device
    precision: str = FULL
    """`float32`, `bfloat16` or `float16`: what was asked for."""


def load_model(model: str, *, revision: str | None = None, device: str = "auto", dtype: str = FULL) -> LoadedModel:
    """Load a model; the same arguments give the same object again, whoever asks.

    `model` is `builtin`, a local folder, a GGUF file or a hub id; `revision` a commit, tag or branch of a hub model;
    `device` is `auto` (cuda if there is one, else cpu) or a name that torch knows; `dtype` float32, bfloat16 or
    float16. Code that comes with a model is never run.

    Raises BadInput when the model, a part of its weights, its tokenizer or the device can't be had.
    """
    _check(dtype)
    return _load(model, revision, device_of(device), dtype)


def load_asked(model: str, *, device: str = "auto", dtype: str = FULL) -> LoadedModel:
    """Load a model that is asked, not studied. As `load_model`, but half precision on a CPU is that of the products of
    its linear layers alone (`HalfLinear`): twice as fast there, where all of a model in bfloat16 is slower."""
    _check(dtype)
    place = device_of(device)
    if dtype == FULL or place.type != "cpu":
        return _load(model, None, place, dtype)
    return _load_halved(model, place, dtype)


def _check(dtype: str) -> None:
    if dtype not in _DTYPES:
        raise BadInput(f"dtype '{dtype}' is unknown", nearest(dtype, _DTYPES))


@cache
def load_tokenizer(model: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """A model's tokenizer alone, once per process; the weights are not read. BadInput as in `load_model`."""
    source = locate(model, revision)
    with quiet():
        return _tokenizer(source, model)


@cache
def _load(name: str, revision: str | None, device: torch.device, dtype: str) -> LoadedModel:
    return _opened(name, revision, device, dtype)


@cache
def _load_halved(name: str, device: torch.device, dtype: str) -> LoadedModel:
    loaded = _opened(name, None, device, FULL)
    halve(loaded.model, _DTYPES[dtype])
    return replace(loaded, precision=dtype)


def _opened(name: str, revision: str | None, device: torch.device, dtype: str) -> LoadedModel:
    source = locate(name, revision)
    with quiet():
        model = _model(source, name, _DTYPES[dtype])
        tokenizer = _tokenizer(source, name)
    return LoadedModel(model.to(device).eval().requires_grad_(False), tokenizer, source.identity, device, dtype)


def device_of(name: str) -> torch.device:
    """The device that `name` means, as in `load_model`; BadInput when it can't be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return usable_device(name)
    except SaeError as error:
        raise BadInput(error.what, "give auto, cpu or cuda") from error


def _model(source: Source, name: str, dtype: torch.dtype) -> Any:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source.place,
            revision=source.commit or "main",
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except UNREADABLE as error:
        raise BadInput(f"model '{name}' can't be loaded ({first_line(error)})", _remedy(source, "weights")) from error
    model, report = loaded
    # What the files lack, transformers fills with random numbers: every result would be about those.
    if missing := sorted(report["missing_keys"]):
        what = f"the files of '{name}' lack {len(missing)} tensors of the model ({missing[0]}, ...)"
        raise BadInput(what, "give the whole checkpoint of a causal language model")
    return model


def _tokenizer(source: Source, name: str) -> PreTrainedTokenizerBase:
    try:
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source.place, revision=source.commit or "main", trust_remote_code=False
        )
    except UNREADABLE as error:
        what = f"the tokenizer of '{name}' can't be loaded ({first_line(error)})"
        raise BadInput(what, _remedy(source, "tokenizer")) from error
    return loaded


def _remedy(source: Source, part: str) -> str:
    need = f"it must hold a causal language model that transformers knows, with its {part}"
    return f"{need}; {OFFLINE}" if source.commit else need
