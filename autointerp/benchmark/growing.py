"""Activations of planted units over whole splits, and how much of one unit another covers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from autointerp.planted.rules import Rule
from autointerp.records import Context

Rows = Mapping[int, np.ndarray]
"""Activations per token of the contexts on which a unit is active, by the place of the context in its split."""
BATCH = 256
"""Contexts whose activations for all units are in memory at once."""


def rows_over(rule: Rule, contexts: Sequence[Context], among: Iterable[int] | None = None) -> Rows:
    """The contexts on which a rule is active; with `among` only these places are looked at."""
    places = range(len(contexts)) if among is None else among
    rows = ((place, rule.activations(contexts[place])) for place in places)
    return {place: row for place, row in rows if row.any()}


def stacked(rows: Sequence[Rows], part: range, tokens: int) -> Float[np.ndarray, "context token unit"]:
    """The activations of all units on the contexts at some places, `tokens` in each."""
    values = np.zeros((len(part), tokens, len(rows)), dtype=np.float32)
    for unit, of_unit in enumerate(rows):
        for line, place in enumerate(part):
            if place in of_unit:
                values[line, :, unit] = of_unit[place]
    return values


def coverage(rows: Sequence[Rows], contexts: int, tokens: int) -> Float[np.ndarray, "unit other"]:
    """Share of each unit's active tokens on which the other unit is active, too. Every unit is active somewhere."""
    common = np.zeros((len(rows), len(rows)))
    for start in range(0, contexts, BATCH):
        values = stacked(rows, range(start, min(start + BATCH, contexts)), tokens)
        active = (values > 0).reshape(len(values) * tokens, len(rows)).astype(np.float32)
        common += active.T @ active
    return common / common.diagonal()[:, None]
