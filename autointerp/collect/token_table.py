"""The token table: each unit's mean activation on every token of the evidence, no language model asked.

What the `lookup` control predicts with: a ceiling for explanations that only name tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.numpy import load_file, save_file
from torch import Tensor

from autointerp.artifacts import atomic_path


class TokenSums:
    """Sums activations per token id. Memory: distinct tokens x units."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._rows: dict[int, int] = {}
        self._sums = torch.zeros(0, units, dtype=torch.float64)
        self._counts = torch.zeros(0, dtype=torch.int64)

    def add(self, values: Float[Tensor, "context token unit"], tokens: Int[Tensor, "context token"]) -> None:
        """Count one batch."""
        flat: list[int] = tokens.reshape(-1).tolist()
        rows = torch.tensor([self._rows.setdefault(token, len(self._rows)) for token in flat])
        short = len(self._rows) - len(self._counts)
        if short > 0:
            grow = max(short, len(self._counts))
            self._sums = torch.cat([self._sums, torch.zeros(grow, self._units, dtype=torch.float64)])
            self._counts = torch.cat([self._counts, torch.zeros(grow, dtype=torch.int64)])
        self._sums.index_add_(0, rows, values.reshape(-1, self._units).double())
        self._counts.index_add_(0, rows, torch.ones_like(rows))

    def table(self) -> TokenTable:
        """The means so far."""
        count = len(self._rows)
        sums, counts = self._sums[:count].numpy(), self._counts[:count].numpy()
        return TokenTable(
            tokens=np.fromiter(self._rows, dtype=np.int64, count=count),
            means=(sums / counts[:, None]).astype(np.float32),
            overall=(sums.sum(axis=0) / max(counts.sum(), 1)).astype(np.float32),
        )


@dataclass(frozen=True)
class TokenTable:
    """Mean activations of the units of one arm, in the order of the arm's candidate units."""

    tokens: Int[np.ndarray, " row"]
    """Token ids seen in the evidence."""
    means: Float[np.ndarray, "row unit"]
    """Each unit's mean activation on that token, in its own scale."""
    overall: Float[np.ndarray, " unit"]
    """Each unit's mean over all evidence tokens: what an unseen token gets."""


def write_token_tables(path: Path, tables: Mapping[str, TokenTable]) -> None:
    """Write the tables of all arms to one safetensors file, atomically."""
    arrays: dict[str, np.ndarray] = {}
    for arm, table in tables.items():
        arrays |= {f"{arm}|tokens": table.tokens, f"{arm}|means": table.means, f"{arm}|overall": table.overall}
    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def read_token_tables(path: Path) -> dict[str, TokenTable]:
    """Read the tables of all arms, by arm."""
    arrays = load_file(path)
    arms = dict.fromkeys(name.rpartition("|")[0] for name in arrays)
    return {a: TokenTable(arrays[f"{a}|tokens"], arrays[f"{a}|means"], arrays[f"{a}|overall"]) for a in arms}
