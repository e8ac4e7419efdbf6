"""Shapes of scores over units, with their true means: those of the committed run, smoothed, and two that are harder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from autointerp.tables import read_table

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _of(arm: str) -> Draw:
    scores = read_table(REFERENCE / "scores.parquet")
    wanted = {"scorer": "reader", "metric": "pearson", "slice": "top-and-random", "pairing": "own", "arm": arm}
    for column, value in wanted.items():
        scores = scores[scores[column] == value]
    known = scores["value"].dropna().to_numpy()
    width = 0.3 * known.std() * known.size**-0.2
    return lambda rng, units: rng.choice(known, units) + width * rng.normal(size=units)


def _silent(rng: np.random.Generator, units: int) -> np.ndarray:
    """Two of five units score nothing."""
    return np.where(rng.random(units) < 0.4, 0.0, rng.beta(2, 3, units))


def _long_tailed(rng: np.random.Generator, units: int) -> np.ndarray:
    return rng.lognormal(-1.5, 0.8, units)


def shapes() -> Mapping[str, tuple[Draw, float]]:
    draws: dict[str, Draw] = {"features": _of("feature"), "neurons": _of("neuron"), "silent": _silent,
                              "long tail": _long_tailed}  # fmt: skip
    return {name: (draw, float(draw(np.random.default_rng(0), 1_000_000).mean())) for name, draw in draws.items()}
