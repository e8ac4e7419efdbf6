"""A whole run in seconds: a tiny random model, made-up text, a small SAE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.study import Study
from autointerp.study_file import parse_study
from tests.tiny import tiny_folder, tiny_tokenizer

HOOK = "layers.1.mlp.neurons"
TABLES = (
    "documents",
    "contexts",
    "sae",
    "units",
    "evidence",
    "explanations",
    "simulations",
    "shuffled",
    "scores",
    "comparison",
    "covariates",
    "adjusted",
)
"""Every table that must come out alike; `usage` says what was spent, so it may differ."""

_WORDS = """
river sea rain list two three return width height area words tiny merges gives fills runs five one four
blue stone paper north seven window garden letter number table engine light
""".split()


def write_corpus(path: Path, documents: int = 260, seed: int = 0) -> Path:
    """JSONL of random sentences; every document is its own source."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf8") as file:
        for number in range(documents):
            words = rng.choice(_WORDS, size=60, p=rng.dirichlet(np.full(len(_WORDS), 0.3)))
            text = f"Document {number}. " + " ".join(words) + "."
            file.write(json.dumps({"text": text, "source": f"book-{number}"}) + "\n")
    return path


def small_settings(folder: Path) -> dict[str, Any]:
    """The settings of a small study on files in `folder`."""
    model = str(tiny_folder(folder))
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    tokenizer.save_pretrained(model)
    llm = {"model": model, "batch": 8, "max_tokens": 8}
    return {
        "subject": {"model": model, "hooks": [HOOK], "batch": 8},
        "corpus": {
            "source": str(write_corpus(folder / "corpus.jsonl")), "source_field": "source", "tokens": 6000,
            "context": 16, "near_duplicate": 0.9,
        },
        "sae": [{"hook": HOOK, "train": {"width": 32, "k": 4, "passes": 4, "batch": 128}}],
        "scrambled": {"seeds": []},
        "units": {"features": 5, "neurons": 4, "directions": 3, "min_contexts": 4,
                  "controls": ["direction", "neuron-sparse", "direction-sparse"]},
        "evidence": {"top": 6, "quantiles": 2, "per_quantile": 1, "random": 6, "held_out_top": 3,
                     "held_out_random": 3, "random_only": 6},
        "llm": {"explainer": llm, "simulator": llm},
        "explain": {"methods": ["exemplars", "phrase"], "candidates": 6},
        "simulate": {"method": "lift", "bank": 8, "literal": False, "both_kinds": False},
        "score": {"slices": ["top-and-random", "random-only"]},
        "compare": {"resamples": 1000},
    }  # fmt: skip


def small_study(folder: Path, *overrides: str) -> Study:
    """The small study, parsed."""
    return parse_study(small_settings(folder), overrides)
