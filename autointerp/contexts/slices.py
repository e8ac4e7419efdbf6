"""Which held-out contexts belong to which slice of the score, and how many others each stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from autointerp.contexts.naming import Named
from autointerp.records import Context, Kind, Split, Unscored
from autointerp.study import Evidence
from autointerp.tables import read_arrow

TOP_AND_RANDOM = "top-and-random"
"""Top held-out contexts and a few drawn blindly (Bills et al. 2023)."""
RANDOM_ONLY = "random-only"
"""Contexts drawn blindly, alone: what a score is worth on ordinary text."""
CALIBRATION = "calibration"
"""Contexts of the calibration split, which fit the scale of a simulator's predictions and score nothing."""
UNLISTED = "unlisted"
"""Of the top and random contexts the tokens alone that no explanation names which is tried on them: what a simulator
knows beyond the words that are there."""
HARD_NEGATIVES = "hard-negatives"
"""Contexts that resemble the active ones and leave the unit silent: for judges, who may be asked to tell them apart."""
JUDGED = "judged"
"""The contexts that a judge decides on: as many active ones as ones checked to be inactive."""

_PLAIN = {TOP_AND_RANDOM: "top and random contexts", RANDOM_ONLY: "random contexts alone",
          UNLISTED: "tokens that the explanation does not name"}  # fmt: skip

NO_OTHER_RANDOM = Unscored("no random context beside the top ones to stand for the rest")


def slice_words(name: str) -> str:
    """What to call a slice in a sentence: `quantile-0` is the band of the lowest peaks."""
    return _PLAIN.get(name, f"contexts of {name.replace('-', ' ')}")


UnitKey = tuple[str, int]
"""(unit, replicate)."""


@dataclass(frozen=True)
class Held:
    """The held-out contexts of one unit in one slice."""

    contexts: Int[np.ndarray, " context"]
    """Their ids, each once, top contexts first."""
    truth: Float[np.ndarray, "context token"]
    """True activations on them, in the unit's own scale."""
    weights: Float[np.ndarray, " context"] | Unscored
    """How many contexts each stands for: of its split, or of its quantile band; Unscored where some are stood for by
    none."""
    counted: Bool[np.ndarray, "context token"] | None = None
    """The tokens that count; None: all."""

    def pooled(self, values: Float[np.ndarray, "context token"]) -> Float[np.ndarray, " pooled"]:
        """The values on the tokens that count, context by context."""
        return values.ravel() if self.counted is None else values[self.counted]

    @property
    def token_weights(self) -> Float[np.ndarray, " pooled"] | None:
        """The weights of the pooled tokens, each that of its context; None where there are none."""
        if isinstance(self.weights, Unscored):
            return None
        return self.pooled(np.broadcast_to(self.weights[:, None], self.truth.shape))

    def __len__(self) -> int:
        return len(self.contexts)


def held_of(
    slices: Mapping[str, Held], name: str, explanations: Iterable[str], contexts: Mapping[int, Context], named: Named
) -> Held | None:
    """The contexts of a slice; for `unlisted` without the tokens that any of these explanations names."""
    held = slices.get(TOP_AND_RANDOM if name == UNLISTED else name)
    if name != UNLISTED or held is None or not len(held):
        return held
    shown = [contexts[int(c)] for c in held.contexts]
    counted = np.ones(held.truth.shape, dtype=bool)
    for explanation in explanations:
        counted &= ~named.tokens(explanation, shown)
    return replace(held, counted=counted)


def read_slices(run_dir: Path, sizes: Evidence, calibration: bool = False) -> dict[UnitKey, dict[str, Held]]:
    """The slices of every unit that has held-out contexts in the run's `evidence` and `contexts` tables.

    With `calibration` also, under CALIBRATION, the contexts that fit scales.
    """
    slices: dict[UnitKey, dict[str, Held]] = {}
    for key, rows in _rows_by_unit(run_dir, Split.HELD_OUT):
        slices[key] = slices_of(rows, sizes)
    for key, rows in _rows_by_unit(run_dir, Split.CALIBRATION) if calibration else ():
        slices.setdefault(key, {})[CALIBRATION] = _union(_of(rows, Kind.TOP), _of(rows, Kind.RANDOM), _population(rows))
    return slices


def _rows_by_unit(run_dir: Path, split: Split) -> Iterator[tuple[UnitKey, pd.DataFrame]]:
    contexts = read_arrow(run_dir / "contexts.parquet", ["context"], filters=[("split", "=", split.value)])
    rows = read_arrow(
        run_dir / "evidence.parquet",
        ["unit", "replicate", "context", "kind", "weight", "activations"],
    )
    of_split = rows.filter(pc.is_in(rows["context"], value_set=contexts["context"].combine_chunks()))
    frame: pd.DataFrame = of_split.to_pandas()
    for _, of_unit in frame.groupby(["unit", "replicate"], sort=False):
        yield (str(of_unit["unit"].iloc[0]), int(of_unit["replicate"].iloc[0])), of_unit


def slices_of(rows: pd.DataFrame, sizes: Evidence) -> dict[str, Held]:
    """The slices of one unit.

    `rows` are its held-out rows (columns context, kind, weight, activations) in the table's order. The first
    `sizes.held_out_random` random rows join the top ones; the first `sizes.random_only` stand alone. A context that
    was drawn both as top and at random is counted once. Quantile bands and hard negatives are there when some were
    gathered.
    """
    top, random, population = _of(rows, Kind.TOP), _of(rows, Kind.RANDOM), _population(rows)
    slices = {
        TOP_AND_RANDOM: _union(top, random.head(sizes.held_out_random), population),
        RANDOM_ONLY: _union(top.head(0), random.head(sizes.random_only), population),
    }
    for band in sorted({str(kind) for kind in rows["kind"] if str(kind).startswith(Kind.QUANTILE)}):
        of_band = rows[rows["kind"] == band]
        slices[band] = _held(of_band, of_band["weight"].to_numpy(dtype=np.float64))
    hard = rows[rows["kind"].str.startswith(Kind.HARD_NEGATIVE)]
    if len(hard):
        slices[HARD_NEGATIVES] = _held(hard, hard["weight"].to_numpy(dtype=np.float64))
    return slices


def _of(rows: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    return rows[rows["kind"] == kind.value]


def _population(rows: pd.DataFrame) -> float:
    """Contexts of the split, all of which its random rows stand for together."""
    return float(_of(rows, Kind.RANDOM)["weight"].sum())


def _union(top: pd.DataFrame, random: pd.DataFrame, population: float) -> Held:
    """Top and random contexts, each once.

    The top ones are there whatever is drawn, so each stands for itself, also one that was drawn at random besides. The
    other random ones are a fair sample of the rest of the split, which they stand for in equal parts: a weighted mean
    over the union is then without bias that over the split.
    """
    once = pd.concat([top, random]).drop_duplicates("context")
    others = len(once) - len(top)
    rest = population - len(top)
    if not others:
        return _held(once, np.ones(len(once)) if rest <= 0 else NO_OTHER_RANDOM)
    return _held(once, np.concatenate([np.ones(len(top)), np.full(others, rest / others)]))


def _held(rows: pd.DataFrame, weights: Float[np.ndarray, " context"] | Unscored) -> Held:
    contexts = rows["context"].to_numpy(dtype=np.int64)
    if not len(rows):
        return Held(contexts, np.empty((0, 0), dtype=np.float32), np.empty(0))
    return Held(contexts, np.stack([np.asarray(a, dtype=np.float32) for a in rows["activations"]]), weights)
