"""Attention rollout: a baseline that many draw, and that reads no value, no MLP and no gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from autointerp.attribution.targets import Outputs, plain_attention
from autointerp.errors import BadInput


def rollout(outputs: Outputs) -> Float[np.ndarray, "position target"]:
    """Abnar and Zuidema 2020: each layer's attention, mean over heads, half of it replaced by the residual stream,
    multiplied up; of the position that writes a target, what reaches it from every other. At least 0, sums to 1.

    The fixed positions' share is left out. Raises BadInput for a model that gives no attention weights.
    """
    model: Any = outputs.loaded.model
    with torch.no_grad(), plain_attention(outputs.loaded):
        layers = model(input_ids=outputs.ids, use_cache=False, output_attentions=True).attentions
    if not layers or any(layer is None for layer in layers):
        raise BadInput(f"models of type '{model.config.model_type}' give no attention weights", "take another method")
    positions = outputs.ids.shape[1]
    passed = torch.eye(positions, dtype=torch.float64)
    for layer in layers:
        heads = layer[0, :, :, :positions].double().mean(dim=0).cpu()
        passed = (0.5 * heads + 0.5 * torch.eye(positions, dtype=torch.float64)) @ passed
    passage = outputs.passage
    writers = [passage.before(target) - 1 for target in range(passage.targets)]
    found = passed[writers].t().numpy().copy()
    found[: passage.fixed] = 0.0
    return np.asarray(found)
