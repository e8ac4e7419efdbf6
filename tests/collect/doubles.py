"""A subject and an SAE whose activations are known, contexts for them, and what every unit is on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from autointerp.contexts.reading import read_batches
from autointerp.contexts.sharing import read_exemplars
from autointerp.records import Context, Exemplar, Split
from autointerp.tables import CANDIDATES, EVIDENCE, HELD_OUT, read_table, write_table

WIDTH, LATENTS, LENGTH, VOCABULARY = 6, 9, 8, 40
HOOK = "layers.5.mlp.neurons"

CONTROLS = ["direction", "neuron-sparse", "direction-sparse"]
"""The arms beside features and neurons that these tests know the values of."""


class KnownSubject:
    """Activations that depend on the token and the one before it."""

    def __init__(self, width: int = WIDTH) -> None:
        rng = np.random.default_rng(0)
        self._now = rng.normal(size=(VOCABULARY, width)).astype(np.float32)
        self._before = rng.normal(size=(VOCABULARY, width)).astype(np.float32) * 0.3
        self.widths = {HOOK: width}
        self.seen: list[int] = []

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[torch.Tensor, "c t w"]]:
        self.seen.append(len(tokens))
        values = self._now[tokens]
        values[:, 1:] += self._before[tokens[:, :-1]]
        return {HOOK: torch.from_numpy(values)}


class Relu:
    """An SAE with a dead latent (the last)."""

    def __init__(self, latents: int = LATENTS) -> None:
        self.weight = torch.from_numpy(np.random.default_rng(1).normal(size=(WIDTH, latents)).astype(np.float32))
        self.bias = torch.tensor([-1.5] * (latents - 1) + [-1e9])

    def encode(self, x: Float[torch.Tensor, "vector d_in"]) -> Float[torch.Tensor, "vector latent"]:
        return torch.relu(x @ self.weight + self.bias)

    def encode_latents(
        self, x: Float[torch.Tensor, "vector d_in"], latents: Int[torch.Tensor, " chosen"]
    ) -> Float[torch.Tensor, "vector chosen"]:
        return torch.relu(x @ self.weight[:, latents] + self.bias[latents])

    @property
    def W_dec(self) -> Float[torch.Tensor, "latent d_in"]:
        return self.weight.T


def write_contexts(folder: Path, count: int = 200, calibration: bool = False) -> Path:
    """Contexts of random tokens, every third one held out; with `calibration` every sixth one is for that."""
    rng = np.random.default_rng(2)
    rows = []
    for number in range(count):
        split = Split.EVIDENCE if number % 3 else Split.HELD_OUT
        if calibration and number % 6 == 1:
            split = Split.CALIBRATION
        tokens = rng.integers(0, VOCABULARY, size=LENGTH)
        pieces = tuple(f" w{t}" for t in tokens)
        rows.append(Context(number, split, number, f"s{number}", 0, tokens, pieces))
    write_table("contexts", folder / "contexts.parquet", rows)
    return folder


def read_all(run: Path, split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every context's id, tokens and activations, in one go."""
    batch = next(iter(read_batches(run / "contexts.parquet", split, 10_000)))
    return batch.contexts, batch.tokens, KnownSubject().activations(batch.tokens)[HOOK].numpy()


def sampled(run: Path) -> pd.DataFrame:
    """The candidate units that were drawn."""
    units = read_table(run / CANDIDATES)
    kept: pd.DataFrame = units[units["status"] == "ok"]
    return kept


def truths(run: Path, split: Split, sae: Relu) -> dict[str, Float[np.ndarray, "context token"]]:
    """What every sampled unit is on all contexts of a split, from the subject's known activations."""
    *_, activations = read_all(run, split)
    codes = sae.encode(torch.from_numpy(activations.reshape(-1, WIDTH))).numpy().reshape(*activations.shape[:2], -1)
    fitted = directions(run)
    found = {}
    for unit, arm, index, sign, threshold in sampled(run)[["unit", "arm", "index", "sign", "threshold"]].itertuples(
        index=False
    ):
        if arm == "feature":
            values = codes[..., index]
        elif arm.startswith("neuron"):
            values = activations[..., index] * sign
        else:
            vector, offset = fitted[index]
            values = activations @ vector - offset
        found[unit] = np.where(values > max(threshold, 0.0), values, 0.0)
    return found


def directions(run: Path, arm: str = "direction") -> dict[int, tuple[Float[np.ndarray, " width"], float]]:
    """Of every direction w with centre c: w and w . c, solved for from the gathered contexts where it is active.

    In terms of the activations at HOOK, wherever the arm reads.
    """
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for split, name in ((Split.EVIDENCE, EVIDENCE), (Split.HELD_OUT, HELD_OUT)):
        ids, _, activations = read_all(run, split)
        for unit, rows in read_exemplars(run / name).items():
            if unit.startswith(f"{arm}/"):
                number = int(unit.split("/")[1])
                old = known.get(number, (np.empty((0, WIDTH)), np.empty(0)))
                new = _equations(rows, dict(zip(ids.tolist(), activations, strict=True)))
                known[number] = (np.concatenate([old[0], new[0]]), np.concatenate([old[1], new[1]]))
    found = {}
    for number, (left, right) in known.items():
        system = np.column_stack([left, -np.ones(len(left))])
        solution, _, rank, _ = np.linalg.lstsq(system, right)
        assert rank == WIDTH + 1
        assert len(right) > 10 * rank, "far more equations than unknowns"
        np.testing.assert_allclose(system @ solution, right, atol=1e-4)
        found[number] = (solution[:WIDTH], float(solution[WIDTH]))
    return found


def _equations(rows: Sequence[Exemplar], activations: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    left = np.concatenate([activations[row.context] for row in rows]).astype(np.float64)
    right = np.concatenate([row.activations for row in rows]).astype(np.float64)
    return left[right > 0], right[right > 0]
