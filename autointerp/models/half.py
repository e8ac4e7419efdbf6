"""Linear layers whose products are of half precision, in a model that computes all else in float32.

On a CPU a product in bfloat16 takes half the time of one in float32, while attention, norms and the residual stream in
bfloat16 take longer and lose most of the digits. So a model that is asked keeps those in float32 there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae.devices import multiplies_in_bfloat16


class HalfLinear(nn.Module):
    """A linear layer that rounds what it gets, its weights and what it gives to half precision; sums are of float32."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        """The same layer, of `dtype` (bfloat16 or float16). Where this machine has no such products they are made in
        float32 of rounded numbers: the same, the order of sums aside, and no faster."""
        super().__init__()
        self.in_features, self.out_features, self._dtype = layer.in_features, layer.out_features, dtype
        rounded = layer.weight.detach().to(dtype)
        weight = rounded if has_products(dtype) else rounded.float()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)

    def forward(self, inputs: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch output"]:
        """In float32, as `inputs` are."""
        product = nn.functional.linear(inputs.to(self._dtype).to(self.weight.dtype), self.weight)
        whole = product.to(self._dtype).float()
        return whole if self.bias is None else whole + self.bias


def has_products(dtype: torch.dtype) -> bool:
    """Whether this machine's CPU multiplies matrices of `dtype` faster than those of float32."""
    return dtype == torch.bfloat16 and multiplies_in_bfloat16()


def halve(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace every linear layer of a float32 model, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, HalfLinear(child, dtype))
