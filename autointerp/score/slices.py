"""Which held-out contexts belong to which slice of the score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from jaxtyping import Float, Int

from autointerp.records import Kind, Split
from autointerp.study import Evidence
from autointerp.tables import read_arrow

TOP_AND_RANDOM = "top-and-random"
"""Top held-out contexts and a few drawn blindly (Bills et al. 2023)."""
RANDOM_ONLY = "random-only"
"""Contexts drawn blindly, alone: what a score is worth on ordinary text."""
CALIBRATION = "calibration"
"""Contexts of the calibration split, which fit the scale of a simulator's predictions and score nothing."""
JUDGED = "judged"
"""The contexts that a judge decides on: as many active ones as ones checked to be inactive."""

PLAIN = {TOP_AND_RANDOM: "top and random contexts", RANDOM_ONLY: "random contexts alone"}
"""What to call a slice in a sentence."""

UnitKey = tuple[str, int]
"""(unit, replicate)."""


@dataclass(frozen=True)
class Held:
    """The held-out contexts of one unit in one slice."""

    contexts: Int[np.ndarray, " context"]
    """Their ids, each once, top contexts first."""
    truth: Float[np.ndarray, "context token"]
    """True activations on them, in the unit's own scale."""

    def __len__(self) -> int:
        return len(self.contexts)


def read_slices(run_dir: Path, sizes: Evidence, calibration: bool = False) -> dict[UnitKey, dict[str, Held]]:
    """The slices of every unit that has held-out contexts in the run's `evidence` and `contexts` tables.

    With `calibration` also, under CALIBRATION, the contexts that fit scales.
    """
    slices: dict[UnitKey, dict[str, Held]] = {}
    for key, rows in _rows_by_unit(run_dir, Split.HELD_OUT):
        slices[key] = slices_of(rows, sizes)
    for key, rows in _rows_by_unit(run_dir, Split.CALIBRATION) if calibration else ():
        slices.setdefault(key, {})[CALIBRATION] = _held(rows)
    return slices


def _rows_by_unit(run_dir: Path, split: Split) -> Iterator[tuple[UnitKey, pd.DataFrame]]:
    contexts = read_arrow(run_dir / "contexts.parquet", ["context"], filters=[("split", "=", split.value)])
    rows = read_arrow(
        run_dir / "evidence.parquet",
        ["unit", "replicate", "context", "kind", "activations"],
        filters=[("kind", "in", [Kind.TOP.value, Kind.RANDOM.value])],
    )
    of_split = rows.filter(pc.is_in(rows["context"], value_set=contexts["context"].combine_chunks()))
    frame: pd.DataFrame = of_split.to_pandas()
    for _, of_unit in frame.groupby(["unit", "replicate"], sort=False):
        yield (str(of_unit["unit"].iloc[0]), int(of_unit["replicate"].iloc[0])), of_unit


def slices_of(rows: pd.DataFrame, sizes: Evidence) -> dict[str, Held]:
    """The slices of one unit.

    `rows` are its held-out rows (columns context, kind, activations) in the table's order. The first
    `sizes.held_out_random` random rows join the top ones; the first `sizes.random_only` stand alone. A context that
    was drawn both as top and at random is counted once.
    """
    top = rows[rows["kind"] == Kind.TOP.value]
    random = rows[rows["kind"] == Kind.RANDOM.value]
    return {
        TOP_AND_RANDOM: _held(pd.concat([top, random.head(sizes.held_out_random)])),
        RANDOM_ONLY: _held(random.head(sizes.random_only)),
    }


def _held(rows: pd.DataFrame) -> Held:
    once = rows.drop_duplicates("context")
    contexts = once["context"].to_numpy(dtype=np.int64)
    if not len(once):
        return Held(contexts, np.empty((0, 0), dtype=np.float32))
    return Held(contexts, np.stack([np.asarray(a, dtype=np.float32) for a in once["activations"]]))
