"""Trains the simulator `reader`: gathers development units, fits its weights, and writes them with their provenance.

    python benchmarks/train_reader.py --text 8:104 --text 10:102 --text 14:101 --work build/readers --out reader.json

A text is LAYER:SEED of the demo's subject and corpus. The layer of the demo and those that are reported must not be
among them, and are refused. Without --out nothing is written: what is printed is the score of each text's units by
weights that were fitted on the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from readers.fitting import Development, Plan, fit, tried
from readers.gathering import developed

from autointerp.artifacts import hash_value
from autointerp.metrics.metrics import score_one
from autointerp.simulate.reader import SIGNALS, ReaderWeights
from autointerp.study import Study
from autointerp.study_file import parse_study

RESERVED = (5, 18)
"""Layers that are reported: the demo's, and that of the measurement in docs/simulators.md."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _arguments(arguments)
    plan = Plan()
    texts = {
        (layer, seed): developed(study_of(layer, seed), asked.work / f"{layer}-{seed}") for layer, seed in asked.text
    }
    for name, text in texts.items():
        others = [other for key, other in texts.items() if key != name]
        if others:
            print(f"layer {name[0]}, fitted on the others: {scores(text, fit(others, plan, lambda line: None))}")
    if asked.out:
        weights = fit(list(texts.values()), plan)
        about = {"texts": [f"layer {layer}, seed {seed}" for layer, seed in texts], "plan": vars(plan)}
        asked.out.write_text(json.dumps(written(weights, about), indent=1) + "\n", encoding="utf8")
    return 0


def study_of(layer: int, seed: int) -> Study:
    """The defaults on another layer, smaller: 32 units of each arm, less than half of the text."""
    hook = f"layers.{layer}.mlp.neurons"
    return parse_study(
        {},
        [
            f"seed={seed}", f'subject.hooks=["{hook}"]', f'sae=[{{hook="{hook}", train={{width=1024, passes=3}}}}]',
            "corpus.tokens=100000", "units.features=32", "units.neurons=32", "units.directions=32",
            'units.controls=["direction"]', "explain.candidates=8", "explain.model_share=0.25",
            'simulate.method="reader"', "simulate.bank=32",
        ],
    )  # fmt: skip


def scores(text: Development, weights: ReaderWeights) -> dict[str, str]:
    """Mean correlation and number of trials, by arm and sort of explanation; 0 where it is not defined."""
    found: dict[str, list[float]] = {}
    for trial, predicted in tried(text, weights):
        score = score_one("pearson", trial.truth.ravel(), predicted.ravel())
        found.setdefault(f"{trial.arm}, {trial.sort}", []).append(score if isinstance(score, float) else 0.0)
    return {name: f"{np.mean(values):.3f} ({len(values)})" for name, values in found.items()}


def written(weights: ReaderWeights, about: dict[str, Any]) -> dict[str, Any]:
    """The file of the weights."""
    content = weights.content
    return {"trained_on": about, "signals": list(SIGNALS), "hash": hash_value(content), "weights": content}


def layer_and_seed(value: str) -> tuple[int, int]:
    """LAYER:SEED; an error for a layer that is reported."""
    layer, _, seed = value.partition(":")
    if int(layer) in RESERVED:
        raise argparse.ArgumentTypeError(f"layer {layer} is reported: a reader is never trained on it")
    return int(layer), int(seed)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=layer_and_seed, action="append", required=True, metavar="LAYER:SEED")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs; what is there is used again")
    parser.add_argument("--out", type=Path, help="where the weights go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
