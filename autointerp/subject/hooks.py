"""Names of hook points: a short name or a module path with a side becomes a place in the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import PreTrainedModel

from autointerp.errors import BadInput, nearest

Side = Literal["in", "out"]

SHORT_NAMES = ("layers.N.mlp.neurons", "layers.N.mlp.out", "layers.N.resid")
"""What every known family has, N from 0: the input of the MLP's down projection, the output of the MLP before any
norm that follows it, and the residual stream after the block."""


@dataclass(frozen=True)
class HookPoint:
    """One place in the model whose activations are read."""

    name: str
    """As the study gave it."""
    path: str
    """Of the module, as in `named_modules`."""
    side: Side
    """The module's first input tensor, or its (first) output tensor."""


@dataclass(frozen=True)
class Family:
    """Where a kind of model has its parts."""

    blocks: str
    """Path of the list of blocks."""
    down: str
    """The MLP's second layer, by path in a block."""
    mlp: str
    """The module whose output is the MLP's, by path in a block."""


# Recognised by the modules themselves, so that a relative with the same layout needs no line of its own.
_FAMILIES = (
    Family("model.layers", "mlp.down_proj", "mlp"),  # Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3, Phi 3
    Family("model.language_model.layers", "mlp.down_proj", "mlp"),  # Gemma 3 with vision, and its like
    Family("model.layers", "mlp.fc2", "mlp"),  # Phi
    Family("transformer.h", "mlp.c_proj", "mlp"),  # GPT-2
    Family("gpt_neox.layers", "mlp.dense_4h_to_h", "mlp"),  # GPT-NeoX, Pythia
    Family("model.decoder.layers", "fc2", "fc2"),  # OPT has no MLP module: its second layer is the MLP's output
)


def resolve(model: PreTrainedModel, name: str) -> HookPoint:
    """Find the module that `name` means; BadInput lists the valid names when there is none."""
    path, colon, side = name.rpartition(":")
    if colon:
        if side not in ("in", "out"):
            raise BadInput(f"hook '{name}' has side '{side}'", "end a module path with ':in' or ':out'")
        return HookPoint(name, _existing(model, name, path), "in" if side == "in" else "out")
    return _resolve_short(model, name)


def _resolve_short(model: PreTrainedModel, name: str) -> HookPoint:
    match = re.fullmatch(r"layers\.(\d+)\.(mlp\.neurons|mlp\.out|resid)", name)
    if match is None:
        advice = nearest(re.sub(r"\d+", "N", name), SHORT_NAMES)
        raise BadInput(f"hook '{name}' is unknown", f"{advice}, or a module path with ':in' or ':out'")
    layer, what = int(match[1]), match[2]
    family = family_of(model)
    if family is None:
        raise _without_short_names(model, name)
    layers = len(_children(model, family.blocks))
    if layer >= layers:
        raise BadInput(f"hook '{name}' is out of range", f"the layers of this model are 0 to {layers - 1}")
    block = f"{family.blocks}.{layer}"
    if what == "mlp.neurons":
        return HookPoint(name, _existing(model, name, f"{block}.{family.down}"), "in")
    if what == "mlp.out":
        return HookPoint(name, _existing(model, name, f"{block}.{family.mlp}"), "out")
    return HookPoint(name, block, "out")


def family_of(model: PreTrainedModel) -> Family | None:
    """The model's family; None when it is of none that is known."""
    return next((f for f in _FAMILIES if find_module(model, f"{f.blocks}.0.{f.down}") is not None), None)


def _without_short_names(model: PreTrainedModel, name: str) -> BadInput:
    kind = getattr(model.config, "model_type", type(model).__name__)
    example = next(
        (path for path, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)), "blocks"
    )
    return BadInput(
        f"hook '{name}': models of type '{kind}' have no short names",
        f"give a module path with ':in' or ':out', for example '{example}.0:out'",
    )


def find_module(model: torch.nn.Module, path: str) -> torch.nn.Module | None:
    """The module at `path`; None when there is none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def _children(model: torch.nn.Module, path: str) -> list[str]:
    return [name for name, _ in model.get_submodule(path).named_children()]


def _existing(model: PreTrainedModel, name: str, path: str) -> str:
    """Give `path` back when the model has it, else say where it leaves the model, and what is there instead."""
    if not path:
        raise BadInput(f"hook '{name}' names no module", "put a module path before the colon")
    if find_module(model, path) is not None:
        return path
    parts = path.split(".")
    known = 0
    while known < len(parts) and find_module(model, ".".join(parts[: known + 1])) is not None:
        known += 1
    parent, wrong = ".".join(parts[:known]), parts[known]
    children = _children(model, parent)
    if not children:
        advice = f"'{parent}' has no parts"
    elif all(child.isdigit() for child in children):
        advice = f"valid: 0 to {len(children) - 1}"
    else:
        advice = nearest(wrong, children)
    place = f"'{parent}'" if parent else "the model"
    raise BadInput(f"hook '{name}': {place} has no module '{wrong}'", advice)
