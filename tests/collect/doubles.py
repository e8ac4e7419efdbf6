"""A subject and an SAE whose activations are known, and contexts for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from autointerp.records import Context, Split
from autointerp.tables import write_table

WIDTH, LATENTS, LENGTH, VOCABULARY = 6, 9, 8, 40
HOOK = "layers.5.mlp.neurons"


class KnownSubject:
    """Activations that depend on the token and the one before it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._now = rng.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
        self._before = rng.normal(size=(VOCABULARY, WIDTH)).astype(np.float32) * 0.3
        self.widths = {HOOK: WIDTH}
        self.seen: list[int] = []

    def activations(self, tokens: Int[np.ndarray, "context token"]) -> dict[str, Float[torch.Tensor, "c t w"]]:
        self.seen.append(len(tokens))
        values = self._now[tokens]
        values[:, 1:] += self._before[tokens[:, :-1]]
        return {HOOK: torch.from_numpy(values)}


class Relu:
    """An SAE with a dead latent (the last)."""

    def __init__(self) -> None:
        self.weight = torch.from_numpy(np.random.default_rng(1).normal(size=(WIDTH, LATENTS)).astype(np.float32))
        self.bias = torch.tensor([-1.5] * (LATENTS - 1) + [-1e9])

    def encode(self, x: Float[torch.Tensor, "vector d_in"]) -> Float[torch.Tensor, "vector latent"]:
        return torch.relu(x @ self.weight + self.bias)

    def encode_latents(
        self, x: Float[torch.Tensor, "vector d_in"], latents: Int[torch.Tensor, " chosen"]
    ) -> Float[torch.Tensor, "vector chosen"]:
        return torch.relu(x @ self.weight[:, latents] + self.bias[latents])

    @property
    def W_dec(self) -> Float[torch.Tensor, "latent d_in"]:
        return self.weight.T


def write_contexts(folder: Path) -> Path:
    """Two hundred contexts of random tokens, every third one held out."""
    rng = np.random.default_rng(2)
    rows = []
    for number in range(200):
        split = Split.EVIDENCE if number % 3 else Split.HELD_OUT
        tokens = rng.integers(0, VOCABULARY, size=LENGTH)
        pieces = tuple(f" w{t}" for t in tokens)
        rows.append(Context(number, split, number, f"s{number}", 0, tokens, pieces))
    write_table("contexts", folder / "contexts.parquet", rows)
    return folder
