"""From a hook to the residual stream, and from there to the unembedding: the straight way, past all later blocks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from autointerp.records import Unscored
from autointerp.subject.hooks import Family, HookPoint, family_of, find_module

_FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
"""After the last block, by name beside the list of blocks."""
_NORMS_AFTER_MLP = ("post_feedforward_layernorm", "post_mlp_layernorm")
"""Between the MLP and the residual stream, by name in a block (Gemma 2 and 3, OLMo 2, GLM 4)."""
_NO_PATH = Unscored("what is hooked does not write into the residual stream (blocks, MLPs and their neurons do)")


def to_residual(
    model: PreTrainedModel, hook: HookPoint, directions: Float[Tensor, "unit width"]
) -> Float[Tensor, "unit residual"] | Unscored:
    """What directions of the hooked vector add to the residual stream, each up to a factor above 0.

    A block's input or output is the residual stream. An MLP's output is added to it, through the norm after the MLP
    where there is one (`linear_part`). A neuron's coordinate goes through its column of the MLP's second layer.
    Everything else (attention, MLPs' inputs, modules of a model whose layers are not known) is Unscored.
    """
    family = family_of(model)
    if family is None:
        return Unscored("where this type of model has its blocks is not known")
    number, _, part = hook.path.removeprefix(f"{family.blocks}.").partition(".")
    block = find_module(model, f"{family.blocks}.{number}")
    if block is None or not hook.path.startswith(f"{family.blocks}."):
        return _NO_PATH
    if not part:
        return directions
    if part == family.down and hook.side == "in":
        return _after_mlp(block, directions @ _weight(block.get_submodule(part)))
    if part in (family.down, family.mlp) and hook.side == "out":
        return _after_mlp(block, directions)
    return _NO_PATH


def to_unembedding(
    model: PreTrainedModel, directions: Float[Tensor, "unit residual"]
) -> Float[Tensor, "unit residual"] | Unscored:
    """What directions of the residual stream come to after the final norm (`linear_part`), up to a factor above 0."""
    family = family_of(model)
    norm = _final_norm(model, family) if family is not None else None
    if norm is None:
        return Unscored("the model has no final norm that is known")
    return linear_part(norm, directions)


def linear_part(norm: torch.nn.Module, vectors: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
    """What a norm makes of a small change of its input while the size that it divides by stands still.

    That is: the change, less its own mean if the norm is a layer norm, times the norm's gain; the bias drops out, and
    so does the division, a factor above 0 that differs with the text. The gain is read off the norm's answer to a
    vector and to its opposite, since families write it differently (Gemma's is 1 + weight).
    """
    width = vectors.shape[1]
    same = vectors.new_ones(1, width)
    centres = not bool(_odd(norm, same).abs().max() > 1e-4)  # a layer norm sees nothing in equal coordinates
    probe = same.clone()
    probe[:, 1::2] = -1
    gain = _odd(norm, probe) / (probe - probe.mean() if centres else probe)
    return (vectors - vectors.mean(dim=1, keepdim=True) if centres else vectors) * gain


def _odd(norm: torch.nn.Module, vector: Float[Tensor, "1 width"]) -> Float[Tensor, "1 width"]:
    """Half the difference between the norm's answers to a vector and to its opposite: no bias is in it."""
    dtype = next((p.dtype for p in norm.parameters()), torch.float32)
    with torch.inference_mode():
        answers: Tensor = norm(torch.stack([vector, -vector]).to(dtype)).to(vector.dtype)
    return (answers[0] - answers[1]) / 2


def _after_mlp(block: torch.nn.Module, directions: Float[Tensor, "unit residual"]) -> Float[Tensor, "unit residual"]:
    for name in _NORMS_AFTER_MLP:
        norm = find_module(block, name)
        if norm is not None:
            return linear_part(norm, directions)
    return directions


def _weight(layer: torch.nn.Module) -> Float[Tensor, "neuron residual"]:
    weight = layer.get_parameter("weight").float()
    return weight if isinstance(layer, Conv1D) else weight.T


def _final_norm(model: PreTrainedModel, family: Family) -> torch.nn.Module | None:
    parent = family.blocks.rpartition(".")[0]
    found = (find_module(model, f"{parent}.{name}") for name in _FINAL_NORMS)
    return next((norm for norm in found if norm is not None), None)
