"""The held-out contexts of planted units, drawn as a run draws those of its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

from autointerp.benchmark.growing import BATCH, Rows, stacked
from autointerp.collect.gather import Gatherer, Wanted
from autointerp.contexts.slices import TOP_AND_RANDOM, Held, slices_of
from autointerp.judge.interface import HeldOut
from autointerp.records import Context, Exemplar, Kind
from autointerp.study import Evidence

SIZES = Evidence()
"""A run's defaults: 5 top contexts, and the first 5 of those drawn blindly, make the slice top-and-random."""
BLIND = 60
"""Contexts drawn blindly per unit: more than a run draws, so that judges find silent ones of dense units, too."""

HeldOuts = tuple[tuple[HeldOut, ...], Held]
"""All drawn contexts of a unit, and the slice top-and-random of them."""


def draw_held_out(names: Sequence[str], rows: Sequence[Rows], contexts: Sequence[Context], seed: int) -> list[HeldOuts]:
    """Draw the contexts of each unit from `contexts`, on which its activations are `rows`.

    Units of one name get the same blind draws. Of equal peaks the earlier context is the higher.
    """
    ids = np.array([c.context for c in contexts], dtype=np.int64)
    gatherer = Gatherer(names, Wanted(top=SIZES.held_out_top, random=BLIND), ids, seed)
    tokens = np.stack([c.tokens for c in contexts]).astype(np.int64)
    for start in range(0, len(contexts), BATCH):
        part = range(start, min(start + BATCH, len(contexts)))
        values = torch.from_numpy(stacked(rows, part, tokens.shape[1]))
        gatherer.add(values, torch.from_numpy(ids[part]), torch.from_numpy(tokens[part]))
    by_id = {c.context: c for c in contexts}
    return [_held_outs(gatherer.exemplars(place, name), by_id) for place, name in enumerate(names)]


def _held_outs(exemplars: Sequence[Exemplar], contexts: Mapping[int, Context]) -> HeldOuts:
    blind = {e.context for e in exemplars if e.kind == Kind.RANDOM}
    once = {e.context: e for e in exemplars}
    held_out = tuple(HeldOut(contexts[c], e.activations, random=c in blind) for c, e in once.items())
    rows = pd.DataFrame([asdict(e) for e in exemplars])
    return held_out, slices_of(rows, SIZES)[TOP_AND_RANDOM]
