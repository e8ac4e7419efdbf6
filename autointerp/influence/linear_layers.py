"""The linear layers of a model, and what passes there: inputs, and gradients of a cost with respect to outputs.

A layer's gradient of a cost is the sum over positions of (gradient at the output) x (input, with a 1 for the bias):
everything about influence is made of these two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers.pytorch_utils import Conv1D

from autointerp.errors import BadInput

Matrices = Mapping[str, Float[Tensor, "query output input"]]
"""Per layer a matrix for each query, in the shape of the layer's weights; a bias is the last input."""


@dataclass(frozen=True)
class LinearLayer:
    """One of a model's linear maps."""

    name: str
    """As in `named_modules`."""
    module: torch.nn.Module
    inputs: int
    """With one more for the bias, where there is one."""
    outputs: int
    biased: bool

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Passed:
    """What passed one layer for some sequences."""

    inputs: Float[Tensor, "sequence position input"]
    """With a 1 at the end where the layer has a bias."""
    gradients: Float[Tensor, "sequence position output"]
    """Of the cost, summed over the sequences."""


def linear_layers(model: torch.nn.Module) -> tuple[LinearLayer, ...]:
    """Every `Linear` and `Conv1D` of `model` but its unembedding.

    The rest has no influence here: embeddings and unembedding (tied or not) and the norms. BadInput when nothing
    is left.
    """
    head: Any = getattr(model, "get_output_embeddings", lambda: None)()
    found = []
    for name, module in model.named_modules():
        if module is head:
            continue
        if isinstance(module, torch.nn.Linear):
            outputs, inputs = module.weight.shape
        elif isinstance(module, Conv1D):
            inputs, outputs = module.weight.shape
        else:
            continue
        biased = module.bias is not None
        found.append(LinearLayer(name, module, inputs + biased, outputs, biased))
    if not found:
        raise BadInput(f"{type(model).__name__} has no linear layer", "give a transformer of Linear or Conv1D layers")
    return tuple(found)


def record(
    model: torch.nn.Module, layers: Sequence[LinearLayer], cost: Callable[[], Float[Tensor, ""]]
) -> dict[str, Passed]:
    """Run `cost`, which runs `model` once, and give what passed each layer.

    The weights' own gradients are neither needed nor computed: they may be frozen. A layer after the place that the
    cost is about has gradients of 0. Nothing is left on the model.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def keep(layer: LinearLayer, given: Tensor, made: Tensor) -> None:
        inputs[layer.name] = pad(given.detach().float(), (0, 1), value=1.0) if layer.biased else given.detach().float()
        outputs[layer.name] = made

    def differentiable(_: Any, __: Any, made: Tensor) -> Tensor:
        return made if made.requires_grad else made.requires_grad_()

    with ExitStack() as stack, torch.enable_grad():
        for layer in layers:
            hook = layer.module.register_forward_hook(lambda _, args, made, layer=layer: keep(layer, args[0], made))
            stack.callback(hook.remove)
        model_: Any = model
        stack.callback(model_.get_input_embeddings().register_forward_hook(differentiable).remove)
        total = cost()
        if set(outputs) != {layer.name for layer in layers}:
            lacking = next(layer.name for layer in layers if layer.name not in outputs)
            raise BadInput(f"a forward pass does not run '{lacking}'", "influence needs layers that every pass runs")
        found = torch.autograd.grad(total, [outputs[layer.name] for layer in layers], allow_unused=True)
    return {
        layer.name: Passed(inputs[layer.name], torch.zeros_like(outputs[layer.name]) if g is None else g.float())
        for layer, g in zip(layers, found, strict=True)
    }


def per_sequence(passed: Passed) -> Float[Tensor, "sequence output input"]:
    """Each sequence's own gradient of a layer."""
    return torch.einsum("bto,bti->boi", passed.gradients, passed.inputs)


def squared_norms(passed: Mapping[str, Passed]) -> Float[Tensor, " sequence"]:
    """Squared length of each sequence's gradient over all layers, without making it: of products over positions."""
    total: Tensor | None = None
    for each in passed.values():
        inputs, gradients = each.inputs, each.gradients
        products = (inputs @ inputs.transpose(1, 2)) * (gradients @ gradients.transpose(1, 2))
        total = products.sum(dim=(1, 2)) if total is None else total + products.sum(dim=(1, 2))
    if total is None:
        raise ValueError("no layer")
    return total.clamp(min=0)


def token_losses(
    model: Any, start: int | None, contexts: Int[Tensor, "sequence token"], labels: Int[Tensor, "sequence token"] | None
) -> Float[Tensor, "sequence token"]:
    """Loss in nats of each token (or of `labels` in their places), given the start token and those before it.

    Without a start token the first of a context is not predicted, and its loss is 0.
    """
    wanted = contexts if labels is None else labels
    logits = next_logits(model, start, contexts)
    if start is None:
        losses = cross_entropy(logits.transpose(1, 2), wanted[:, 1:], reduction="none")
        return pad(losses, (1, 0))
    return cross_entropy(logits.transpose(1, 2), wanted, reduction="none")


def next_logits(
    model: Any, start: int | None, contexts: Int[Tensor, "sequence token"]
) -> Float[Tensor, "sequence predicted vocabulary"]:
    """Logits of each token that is predicted: all of a context, or all but the first without a start token."""
    before = contexts[:, :-1] if start is None else pad(contexts[:, :-1], (1, 0), value=start)
    logits: Tensor = model(input_ids=before, use_cache=False).logits.float()
    return logits
