"""Names of hook points: a short name or a module path with a side becomes a place in the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from autointerp.errors import BadInput, nearest
from autointerp.hook_names import PARTS, SHORT_NAMES, short_name

Side = Literal["in", "out"]


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
    mlp: str
    """The module whose output is the MLP's, by path in a block."""
    down: str | None
    """The MLP's second layer, by path in a block; None where experts have one each."""
    reads: str | None = None
    """The module whose input is the MLP's, where it is not `mlp`."""

    @property
    def evidence(self) -> str:
        """A module of a block that only such models have there."""
        return self.down or f"{self.mlp}.experts"


# Recognised by the modules themselves, so that a relative with the same layout needs no line of its own.
_FAMILIES = (
    Family("model.layers", "mlp", "mlp.down_proj"),  # Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3, OLMo 1 and 2, Phi 3
    Family("model.language_model.layers", "mlp", "mlp.down_proj"),  # Gemma 3 with vision, and its like
    Family("model.layers", "mlp", "mlp.fc2"),  # Phi
    Family("model.layers", "mlp", "mlp.c_proj"),  # StarCoder2
    Family("model.layers", "mlp", None),  # Mixtral, Qwen 2 and 3 MoE, OLMoE, gpt-oss
    Family("transformer.h", "mlp", "mlp.c_proj"),  # GPT-2
    Family("transformer.h", "mlp", "mlp.fc_out"),  # GPT-J
    # Bloom, Falcon: Bloom's MLP gives its output with the residual stream added, its second layer without.
    Family("transformer.h", "mlp.dense_4h_to_h", "mlp.dense_4h_to_h", "mlp"),
    Family("transformer.blocks", "ffn.down_proj", "ffn.down_proj", "ffn"),  # MPT, whose MLP adds the stream as well
    Family("gpt_neox.layers", "mlp", "mlp.dense_4h_to_h"),  # GPT-NeoX, Pythia
    Family("model.decoder.layers", "fc2", "fc2", "fc1"),  # OPT has no MLP module: its second layer is the MLP's output
)
_ATTENTIONS = ("self_attn", "attn", "attention", "self_attention")
_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense")


@dataclass(frozen=True)
class Block:
    """One block's parts, by path in it; None for what it doesn't have."""

    family: Family
    projection: str | None
    """Attention's output projection."""
    after_attention: str | None
    """The norm between attention and the residual stream."""
    after_mlp: str | None
    """The norm between the MLP and the residual stream."""
    middle: str | None
    """The module whose input is the residual stream between attention and MLP."""

    def place(self, part: str) -> tuple[str, Side] | None:
        """Path and side of a part of `hook_names.PARTS`."""
        reads = self.family.reads or self.family.mlp
        found: dict[str, tuple[str | None, Side]] = {
            "resid": ("", "out"),
            "resid_pre": ("", "in"),
            "resid_mid": (self.middle, "in"),
            "attn.z": (self.projection, "in"),
            "attn.out": (self.projection, "out"),
            "attn.contribution": (self.after_attention or self.projection, "out"),
            "mlp.in": (reads, "in"),
            "mlp.neurons": (self.family.down, "in"),
            "mlp.out": (self.family.mlp, "out"),
            "mlp.contribution": (self.after_mlp or self.family.mlp, "out"),
        }
        path, side = found[part]
        return None if path is None else (path, side)


def block_of(model: PreTrainedModel, family: Family, number: str) -> Block | None:
    """The parts of a block; None when there is no such block."""
    block = find_module(model, f"{family.blocks}.{number}")
    if block is None:
        return None

    def first(*paths: str) -> str | None:
        return next((path for path in paths if find_module(block, path) is not None), None)

    projection = first(*(f"{a}.{p}" for a in _ATTENTIONS for p in _PROJECTIONS))
    after_mlp = first("post_feedforward_layernorm", "post_mlp_layernorm")
    after_attention = first("post_self_attn_layernorm")
    before_mlp = first("pre_feedforward_layernorm")
    if after_attention is None and after_mlp is not None and first("post_attention_layernorm"):
        after_attention = "post_attention_layernorm"  # Gemma 2 and 3, OLMo 2: the name means before the MLP elsewhere
    if before_mlp is None and after_attention != "post_attention_layernorm":
        before_mlp = first("post_attention_layernorm", "ln_2", "norm_2", "final_layer_norm")
    elif before_mlp is None:
        before_mlp = family.reads or family.mlp  # OLMo 2 has no norm there
    middle = None if _in_parallel(model.config, block) else before_mlp
    return Block(family, projection, after_attention, after_mlp, middle)


def _in_parallel(config: Any, block: torch.nn.Module) -> bool:
    """Whether attention and MLP of a block read the same vector, so that nothing stands between them; or whether the
    norms stand elsewhere than before them, where the stream in the middle is not what the second one reads."""
    if getattr(config, "use_parallel_residual", False) or getattr(config, "parallel_attn", False):
        return True
    if getattr(config, "new_decoder_architecture", False):
        return True
    if getattr(config, "apply_residual_connection_post_layernorm", False):
        return True
    return not getattr(config, "do_layer_norm_before", True)


def resolve(model: PreTrainedModel, name: str) -> HookPoint:
    """Find the module that `name` means; BadInput lists the valid names when there is none."""
    path, colon, side = name.rpartition(":")
    if colon:
        if side not in ("in", "out"):
            raise BadInput(f"hook '{name}' has side '{side}'", "end a module path with ':in' or ':out'")
        return HookPoint(name, _existing(model, name, path), "in" if side == "in" else "out")
    return _resolve_short(model, name)


def _resolve_short(model: PreTrainedModel, name: str) -> HookPoint:
    short = short_name(name)
    match = re.fullmatch(rf"layers\.(\d+)\.({'|'.join(map(re.escape, PARTS))})", short)
    if match is None:
        advice = nearest(re.sub(r"\d+", "N", name), SHORT_NAMES)
        raise BadInput(f"hook '{name}' is unknown", f"{advice}, or a module path with ':in' or ':out'")
    layer, part = int(match[1]), match[2]
    family = family_of(model)
    if family is None:
        raise _without_short_names(model, name)
    layers = len(_children(model, family.blocks))
    if layer >= layers:
        raise BadInput(f"hook '{name}' is out of range", f"the layers of this model are 0 to {layers - 1}")
    block = block_of(model, family, match[1])
    place = None if block is None else block.place(part)
    if place is None:
        raise BadInput(
            f"hook '{name}': models of type '{_kind(model)}' have no {part} ({PARTS[part]})",
            "name another part of the block, or a module path with ':in' or ':out'",
        )
    scale = getattr(model.config, "residual_multiplier", 1.0)
    if part.endswith(".contribution") and scale != 1.0:
        raise BadInput(
            f"hook '{name}': this model adds {scale:g} times it to the residual stream, which no module gives",
            f"name layers.{layer}.{part.replace('contribution', 'out')}",
        )
    path, side = place
    full = f"{family.blocks}.{layer}" + (f".{path}" if path else "")
    return HookPoint(name, _existing(model, name, full), side)


def same_tensor(model: PreTrainedModel, one: str, other: str) -> bool:
    """Whether two names mean the same tensor of the model; BadInput when one of them means none."""
    return _tensor(model, one) == _tensor(model, other)


def _tensor(model: PreTrainedModel, name: str) -> tuple[str, Side]:
    """Where a hook reads; what a block gives is what the next one reads."""
    point = resolve(model, name)
    family = family_of(model)
    if family is not None and point.side == "in":
        number = point.path.removeprefix(f"{family.blocks}.")
        if number.isdigit() and int(number):
            return f"{family.blocks}.{int(number) - 1}", "out"
    return point.path, point.side


def family_of(model: PreTrainedModel) -> Family | None:
    """The model's family; None when it is of none that is known."""
    return next((f for f in _FAMILIES if find_module(model, f"{f.blocks}.0.{f.evidence}") is not None), None)


def _without_short_names(model: PreTrainedModel, name: str) -> BadInput:
    example = next(
        (path for path, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)), "blocks"
    )
    return BadInput(
        f"hook '{name}': models of type '{_kind(model)}' have no short names",
        f"give a module path with ':in' or ':out', for example '{example}.0:out'",
    )


def _kind(model: PreTrainedModel) -> str:
    return str(getattr(model.config, "model_type", type(model).__name__))


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
