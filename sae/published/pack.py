"""Pack SAELens' registry of published SAEs into `registry.json.xz`, in an environment that has SAELens (MIT):

    python sae/published/pack.py

Hooks are those that SAELens' own loaders read off names, where they do so without a file of the SAE.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    """Write the table beside this script."""
    import sae_lens
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    releases = {name: _release(known) for name, known in get_pretrained_saes_directory().items()}
    table = {"sae_lens": sae_lens.__version__, "releases": releases}
    text = json.dumps(table, separators=(",", ":"), allow_nan=False)
    target = Path(__file__).with_name("registry.json.xz")
    target.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    count = sum(len(known["saes"]) for known in releases.values())
    print(f"{count:,} SAEs of {len(releases)} releases, {target.stat().st_size:,} bytes: {target}")


def _release(known: Any) -> dict[str, Any]:
    saes = []
    for sae_id, path in known.saes_map.items():
        saes.append(
            (
                sae_id,
                None if path == sae_id else path,
                _hook(known, sae_id, path),
                known.norm_scaling_factor.get(sae_id),
                known.neuronpedia_id.get(sae_id),
                known.expected_l0.get(sae_id) or None,
            )
        )
    overrides = dict(known.config_overrides or {})
    return {
        "repo": known.repo_id,
        "model": known.model,
        "conversion": known.conversion_func,
        "overrides": overrides,
        "saes": saes,
    }


def _hook(known: Any, sae_id: str, path: str) -> str | None:
    by_conversion: dict[str | None, Callable[[], str | None]] = {
        None: lambda: _matched(r"(blocks\.\d+\.\w+?(?:resid_pre|resid_mid|resid_post|mlp_out|attn_out))", sae_id, "{}"),
        "gemma_2": lambda: _by_getter("get_gemma_2_config_from_hf", known.repo_id, path),
        "gemma_3": lambda: _gemma_3(path),
        "qwen_scope": lambda: _by_getter("get_qwen_scope_config_from_hf", known.repo_id, path),
        "dictionary_learning_1": lambda: _matched(r"resid_post_layer_(\d+)", path, "blocks.{}.hook_resid_post"),
        "llama_scope": lambda: _llama(path),
        "llama_scope_r1_distill": lambda: _matched(r"/L(\d+)R$", path, "blocks.{}.hook_resid_post"),
        "mwhanna_transcoder": lambda: _matched(r"layer_(\d+)\.", path, "layers.{}.mlp.in"),
    }
    found = by_conversion.get(known.conversion_func)
    return None if found is None else found()


def _matched(pattern: str, text: str, hook: str) -> str | None:
    match = re.search(pattern, text)
    return None if match is None else hook.format(match[1])


def _by_getter(name: str, repo: str, path: str) -> str | None:
    from sae_lens.loading import pretrained_sae_loaders

    hook: str = getattr(pretrained_sae_loaders, name)(repo, path, "cpu")["hook_name"]
    return hook


def _gemma_3(path: str) -> str | None:
    if "transcoder" in path:  # TransformerLens has no name for what comes out of the norm before the MLP
        return _matched(r"layer_(\d+)", path, "layers.{}.mlp.in")
    sites = {"resid_post": "hook_resid_post", "attn_out": "attn.hook_z", "mlp_out": "hook_mlp_out"}
    site = next(hook for part, hook in sites.items() if part in path)
    return _matched(r"layer_(\d+)", path, f"blocks.{{}}.{site}")


def _llama(path: str) -> str | None:
    sites = {"R": "hook_resid_post", "A": "hook_attn_out", "M": "hook_mlp_out"}
    match = re.search(r"-L(\d+)([RAM])-", path)
    return None if match is None else f"blocks.{match[1]}.{sites[match[2]]}"


if __name__ == "__main__":
    main()
