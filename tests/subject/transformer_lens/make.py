"""What TransformerLens computes at its own names, on tiny models: `FAMILY.safetensors`, with the models' weights.

In an environment that has TransformerLens (3.9.0, transformers 5.23.0, torch 2.13.0; SAELens 6.54.12 brings it):

    RIVALS/sae-lens/bin/python tests/subject/transformer_lens/make.py

The models are those of tests/tiny.py. TransformerLens has its own code for the forward pass, and its own way from the
weights of transformers to its own; only the sizes are told to it here. `centred.` are the values of GPT-2 with
`center_writing_weights`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))
LAYERS, WIDTH, NEURONS, HEADS, VOCABULARY, POSITIONS = 3, 16, 24, 2, 384, 64
SIZES = {
    "n_layers": LAYERS, "d_model": WIDTH, "d_mlp": NEURONS, "n_heads": HEADS, "d_vocab": VOCABULARY, "n_ctx": POSITIONS,
    "device": "cpu", "seed": 0,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"d_head": 8, "act_fn": "gelu_new", "normalization_type": "LN", "eps": 1e-5},
    "gpt_neox": {
        "d_head": 8, "act_fn": "gelu", "normalization_type": "LN", "eps": 1e-5, "positional_embedding_type": "rotary",
        "rotary_dim": 2, "rotary_adjacent_pairs": False, "parallel_attn_mlp": True,
    },
    "llama": {
        "d_head": 8, "act_fn": "silu", "normalization_type": "RMS", "eps": 1e-6, "positional_embedding_type": "rotary",
        "rotary_dim": 8, "rotary_adjacent_pairs": False, "final_rms": True, "gated_mlp": True, "n_key_value_heads": 1,
    },
    "gemma2": {
        "d_head": 8, "act_fn": "gelu_pytorch_tanh", "normalization_type": "RMS", "eps": 1e-6, "rotary_dim": 8,
        "positional_embedding_type": "rotary", "final_rms": True, "gated_mlp": True, "n_key_value_heads": 1,
        "use_normalization_before_and_after": True, "attn_scores_soft_cap": 50.0, "output_logits_soft_cap": 30.0,
        "attn_scale": 16.0, "use_attn_scale": True,
    },
}  # fmt: skip
NAMES = (
    "hook_resid_pre",
    "hook_resid_mid",
    "hook_resid_post",
    "hook_attn_out",
    "hook_mlp_out",
    "attn.hook_z",
    "mlp.hook_post",
)


def main() -> None:
    """Write a file per family."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained import weight_conversions as conversions

    # tests/tiny.py makes the models; of this project, which is not installed there, it needs one name that is not used.
    sys.modules["autointerp"], sys.modules["autointerp.models"] = ModuleType("autointerp"), ModuleType("models")
    vars(sys.modules["autointerp.models"])["LoadedModel"] = object
    from tests.tiny import tiny_model

    convert = {
        "gpt2": conversions.convert_gpt2_weights,
        "gpt_neox": conversions.convert_neox_weights,
        "llama": conversions.convert_llama_weights,
        "gemma2": conversions.convert_gemma_weights,
    }
    tokens = torch.randint(2, VOCABULARY, (3, 7), generator=torch.Generator().manual_seed(1))
    for family, given in CONFIGS.items():
        hf = tiny_model(family)
        cfg = HookedTransformerConfig(**SIZES, **given, original_architecture=type(hf).__name__)
        stored: dict[str, torch.Tensor] = {"tokens": tokens}
        for lead, centres in (("", False), *([("centred.", True)] if family == "gpt2" else [])):
            lens = HookedTransformer(cfg)
            lens.load_and_process_state_dict(
                convert[family](hf, cfg), fold_ln=False, center_writing_weights=centres, center_unembed=False,
                fold_value_biases=False,
            )  # fmt: skip
            with torch.no_grad():
                logits, cache = lens.run_with_cache(tokens)
                difference = float((logits - hf(tokens).logits).abs().max())
            print(family, lead, f"logits differ by at most {difference:.1e}")
            assert difference < 1e-3, family
            wanted = [f"blocks.1.{name}" for name in NAMES]
            if centres:
                wanted = [name for name in wanted if "resid" in name or "_out" in name]
            for name in wanted:
                if name in cache:
                    stored[lead + name] = cache[name].flatten(2).contiguous()
        weights = {f"weights.{name}": tensor.clone().contiguous() for name, tensor in hf.state_dict().items()}
        save_file({**stored, **weights}, HERE / f"{family}.safetensors")


if __name__ == "__main__":
    main()
