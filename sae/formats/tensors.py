"""Reading files of strangers: JSON, safetensors, pickles without code; shapes are checked before anything is used."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.errors import SaeError

_AGAIN = "get the checkpoint again"


@dataclass(frozen=True)
class Shapes:
    """The tensors that a checkpoint must hold, no more and no fewer."""

    symbols: Mapping[str, tuple[str, ...]]
    """Each tensor's shape in the layout's names for the sizes."""
    sizes: Mapping[str, int]
    """The sizes by these names."""

    def check(self, path: Path, found: Mapping[str, tuple[int, ...]]) -> None:
        """Compare with the shapes found in the file; SaeError names the tensor and what was expected."""
        for name, symbols in self.symbols.items():
            expected = tuple(self.sizes[symbol] for symbol in symbols)
            shown = f"({', '.join(symbols)}) = {expected}" if symbols else "()"
            if name not in found:
                raise SaeError(
                    f"{path} has no tensor {name} of shape {shown}",
                    f"it holds {', '.join(sorted(found)) or 'none'}; check that its configuration belongs to it",
                )
            if found[name] != expected:
                raise SaeError(
                    f"{path}: {name} has shape {found[name]}, not {shown}",
                    "check that its configuration belongs to these weights",
                )
        if unknown := sorted(found.keys() - self.symbols.keys()):
            raise SaeError(
                f"{path} holds tensors that are not understood ({', '.join(unknown)})",
                "they may change the activations, so it can't be loaded; check that its configuration belongs to it",
            )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        found = json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise SaeError(f"{path} is not readable JSON ({error})", _AGAIN) from error
    if not isinstance(found, dict):
        raise SaeError(f"{path} holds no JSON object", _AGAIN)
    return found


def size(path: Path, config: Mapping[str, Any], key: str) -> int:
    """A number of at least 1 in a configuration."""
    found = config.get(key)
    if not isinstance(found, int) or found < 1:
        raise SaeError(f"{path}: {key} = {found}", f"{key} must be a number of at least 1")
    return found


def active_latents(path: Path, found: Any, width: int) -> int:
    """TopK's `k`, which must be a number from 1 to the number of latents."""
    if not isinstance(found, int) or not 1 <= found <= width:
        raise SaeError(f"{path}: topk with k = {found}", f"k must be a number from 1 to {width}, the number of latents")
    return found


def read_safetensors(path: Path, device: str) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, as 32-bit floats."""
    try:
        with safe_open(path, framework="pt", device=device) as file:
            return {name: file.get_tensor(name).to(torch.float32) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SaeError(f"{path} is not a readable safetensors file ({error})", _AGAIN) from error


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device and layout, as 32-bit floats."""
    save_file({name: t.detach().to("cpu", torch.float32).contiguous() for name, t in tensors.items()}, path)


def read_pickle(path: Path, device: str) -> Mapping[Any, Any]:
    """The dictionary that torch.save wrote, read by the restricted unpickler: it builds tensors and calls nothing.

    A file that asks for anything else, as one that carries code does, raises SaeError before it is run.
    """
    try:
        with warnings.catch_warnings():
            # Which pickle protocol a file uses is its writer's business; an unknown instruction is an error anyway.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            found = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a hostile file can make the unpickler raise anything; its advice is not repeated
        raise SaeError(
            f"{path} is damaged, or not a file of plain tensors ({type(error).__name__})",
            "nothing in it was run; get the checkpoint again, from somebody you trust",
        ) from error
    if not isinstance(found, Mapping):
        raise SaeError(f"{path} holds a {type(found).__name__}, not a dictionary of tensors", _AGAIN)
    return found


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
