"""What hooks are called: our short names, and the names that checkpoints of other tools carry for the same tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

PARTS: Mapping[str, str] = {
    "resid": "the residual stream after the block",
    "resid_pre": "the residual stream before the block",
    "resid_mid": "the residual stream between attention and MLP, where the block has them one after the other",
    "attn.z": "what the heads give, before the output projection, all heads side by side",
    "attn.out": "the output of attention, before any norm that follows it",
    "attn.contribution": "what attention adds to the residual stream: after that norm, where there is one",
    "mlp.in": "what the MLP reads, after the norm before it",
    "mlp.neurons": "the input of the MLP's down projection",
    "mlp.out": "the output of the MLP, before any norm that follows it",
    "mlp.contribution": "what the MLP adds to the residual stream: after that norm, where there is one",
}
"""What follows `layers.N.` in a short name, N from 0."""
SHORT_NAMES = tuple(f"layers.N.{part}" for part in PARTS)

_ALIASES: Mapping[str, str] = {
    # TransformerLens, as checkpoints of SAELens say it. Its MLP and attention outputs are the contributions.
    r"blocks\.(\d+)\.hook_resid_pre": "layers.{}.resid_pre",
    r"blocks\.(\d+)\.hook_resid_mid": "layers.{}.resid_mid",
    r"blocks\.(\d+)\.hook_resid_post": "layers.{}.resid",
    r"blocks\.(\d+)\.attn\.hook_z": "layers.{}.attn.z",
    r"blocks\.(\d+)\.hook_attn_out": "layers.{}.attn.contribution",
    r"blocks\.(\d+)\.hook_mlp_out": "layers.{}.mlp.contribution",
    r"blocks\.(\d+)\.mlp\.hook_post": "layers.{}.mlp.neurons",
    # dictionary_learning
    r"resid_post_layer_(\d+)": "layers.{}.resid",
    r"mlp_out_layer_(\d+)": "layers.{}.mlp.out",
    r"attention_out_layer_(\d+)": "layers.{}.attn.out",
    # of ours, by other words
    r"layers\.(\d+)\.resid_post": "layers.{}.resid",
}


def short_name(hook: str) -> str:
    """Our short name for the tensor that `hook` names; a name that is not known to mean one stays as it is."""
    for pattern, own in _ALIASES.items():
        if match := re.fullmatch(pattern, hook):
            return own.format(match[1])
    return hook


def transformer_lens_name(hook: str) -> str:
    """TransformerLens' name for the tensor that our short name means; a name without one stays as it is."""
    for pattern, own in _ALIASES.items():
        match = re.fullmatch(re.escape(own).replace(r"\{\}", r"(\d+)"), hook)
        if match and pattern.startswith("blocks"):
            return pattern.replace(r"(\d+)", match[1]).replace("\\", "")
    return hook
