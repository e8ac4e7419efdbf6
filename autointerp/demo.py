"""The embedded example: SmolLM2-135M as subject, explainer and simulator, on text that every installation has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autointerp.study import Study
from autointerp.study_file import parse_study

_QUICK: dict[str, Any] = {
    "corpus": {"tokens": 32_000, "train": 0.4, "evidence": 0.35, "held_out": 0.25},
    "sae": [{"hook": "layers.5.mlp.neurons", "train": {"width": 1024, "passes": 4, "batch": 512}}],
    "units": {"features": 12, "neurons": 12, "directions": 12, "controls": ["direction", "neuron-sparse"]},
    "explain": {"candidates": 6},
}


def demo_study(quick: bool = False, overrides: Sequence[str] = ()) -> Study:
    """The demo's study: the defaults of every section, or a smaller copy that takes under 90 seconds."""
    return parse_study(_QUICK if quick else {}, overrides)
