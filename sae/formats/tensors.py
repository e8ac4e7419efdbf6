"""Reading files of strangers: JSON, safetensors, pickles without code; shapes are checked before anything is used."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.base import Named
from sae.errors import SaeError
from sae.formats.interface import Files

AGAIN = "get the checkpoint again"
"""What helps where a file is damaged."""


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
        raise SaeError(f"{path} is not readable JSON ({error})", AGAIN) from error
    if not isinstance(found, dict):
        raise SaeError(f"{path} holds no JSON object", AGAIN)
    return found


def size(path: Path, config: Mapping[str, Any], key: str) -> int:
    """A number of at least 1 in a configuration."""
    found = config.get(key)
    if not isinstance(found, int) or found < 1:
        raise SaeError(f"{path}: {key} = {found}", f"{key} must be a number of at least 1")
    return found


def number(path: Path, config: Mapping[str, Any], key: str, above: float = -math.inf) -> float:
    """A finite number in a configuration."""
    found = config.get(key)
    if not isinstance(found, int | float) or not math.isfinite(found) or not found > above:
        raise SaeError(f"{path}: {key} = {found}", f"{key} must be a number{'' if above < 0 else f' above {above:g}'}")
    return float(found)


def require_known(files: Files) -> tuple[Path, dict[str, Any]]:
    """The configuration of a layout that has one: its path and what it says."""
    assert files.config is not None, "the layout is recognised by its configuration"
    return files.config, read_object(files.config)


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
        raise SaeError(f"{path} is not a readable safetensors file ({error})", AGAIN) from error


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
        raise SaeError(f"{path} holds a {type(found).__name__}, not a dictionary of tensors", AGAIN)
    return found


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def require_shapes(
    path: Path, tensors: Mapping[str, Tensor], symbols: Mapping[str, tuple[str, ...]], sizes: Mapping[str, int]
) -> None:
    """See `Shapes.check`."""
    Shapes(symbols, sizes).check(path, shapes_of(tensors))


def matrix_sizes(path: Path, tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    """Rows and columns of a matrix that has to be there, where no configuration says how large it is."""
    if name not in tensors or tensors[name].ndim != 2:
        what = "no tensor" if name not in tensors else f"shape {tuple(tensors[name].shape)} for"
        raise SaeError(f"{path} has {what} {name}, which must be a matrix", AGAIN)
    rows, columns = tensors[name].shape
    return rows, columns


def transcoder_shapes(symbols: Mapping[str, tuple[str, ...]], skips: bool) -> dict[str, tuple[str, ...]]:
    """The shapes of an autoencoder's tensors, for a transcoder of that form."""
    written = {"W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",)}
    return {**symbols, **written, **({"W_skip": ("d_out", "d_in")} if skips else {})}


def linear_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    others: Mapping[str, tuple[str, ...]] | None = None,
) -> Named:
    """Our tensors out of two linear layers, `encoder` and `decoder`, with their biases; `others` keep their names.

    `sizes`: `d_in` and `d_sae`. SaeError names what is missing, more, or of another shape.
    """
    symbols = {
        "encoder.weight": ("d_sae", "d_in"),
        "encoder.bias": ("d_sae",),
        "decoder.weight": ("d_in", "d_sae"),
        "decoder.bias": ("d_in",),
        **(others or {}),
    }
    require_shapes(path, tensors, symbols, sizes)
    return {
        "W_enc": tensors["encoder.weight"].t().contiguous(),
        "b_enc": tensors["encoder.bias"],
        "W_dec": tensors["decoder.weight"].t().contiguous(),
        "b_dec": tensors["decoder.bias"],
        **{name: tensors[name] for name in others or {}},
    }


def plain_tensors(path: Path, found: Mapping[Any, Any]) -> dict[str, Tensor]:
    """What a state dict holds; SaeError for a value that is no dense tensor, or has no name."""
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise SaeError(f"{path}: {name} is no plain tensor", AGAIN)
    return {name: value.detach() for name, value in found.items()}


def drop_unit_scaling(path: Path, tensors: dict[str, Tensor]) -> None:
    """Take away `scaling_factor`, factors for the activations of early files, as SAELens does when all are 1."""
    factors = tensors.pop("scaling_factor", None)
    if factors is not None and not torch.allclose(factors, torch.ones_like(factors)):
        raise SaeError(f"{path}: scaling_factor differs from 1", "fold it into the decoder and save without it")
