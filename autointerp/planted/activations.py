"""Activations of planted units: over whole splits, and on held-out contexts drawn as a run draws those of its units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from autointerp.collect.gather import Gatherer, Wanted
from autointerp.contexts.slices import TOP_AND_RANDOM, Held, slices_of
from autointerp.judge.interface import HeldOut
from autointerp.planted.rules import Rule
from autointerp.records import Context, Exemplar, Kind
from autointerp.study import Evidence

Rows = Mapping[int, np.ndarray]
"""Activations per token of the contexts on which a unit is active, by the place of the context in its split."""
CONTEXTS_AT_ONCE = 256
"""Contexts whose activations for all units are in memory at once."""


def rows_over(rule: Rule, contexts: Sequence[Context], among: Iterable[int] | None = None) -> Rows:
    """The contexts on which a rule is active; with `among` only these places are looked at."""
    return dict(active_rows(rule, contexts, range(len(contexts)) if among is None else among))


def active_rows(rule: Rule, contexts: Sequence[Context], among: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """The places on which a rule is active, in their order, each with its activations per token."""
    for place in among:
        if rule.may(contexts[place].text) and (row := rule.activations(contexts[place])).any():
            yield place, row


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
    for start in range(0, contexts, CONTEXTS_AT_ONCE):
        values = stacked(rows, range(start, min(start + CONTEXTS_AT_ONCE, contexts)), tokens)
        active = (values > 0).reshape(len(values) * tokens, len(rows)).astype(np.float32)
        common += active.T @ active
    return common / common.diagonal()[:, None]


SIZES = Evidence()
"""A run's defaults: 5 top contexts, and the first 5 of those drawn blindly, make the slice top-and-random."""
BLIND = 60
"""Contexts drawn blindly per unit: more than a run draws, so that judges find silent ones of dense units, too."""

HeldOuts = tuple[tuple[HeldOut, ...], Held]
"""All drawn contexts of a unit, and the slice top-and-random of them."""


def draw_held_out(
    names: Sequence[str], rows: Sequence[Rows], contexts: Sequence[Context], seed: int, sizes: Evidence = SIZES
) -> list[HeldOuts]:
    """Draw the contexts of each unit from `contexts`, on which its activations are `rows`.

    `sizes` says how many make the slice. Units of one name get the same blind draws. Of equal peaks the earlier context
    is the higher.
    """
    ids = np.array([c.context for c in contexts], dtype=np.int64)
    gatherer = Gatherer(names, Wanted(top=sizes.held_out_top, random=BLIND), ids, seed)
    tokens = np.stack([c.tokens for c in contexts]).astype(np.int64)
    for start in range(0, len(contexts), CONTEXTS_AT_ONCE):
        part = range(start, min(start + CONTEXTS_AT_ONCE, len(contexts)))
        values = torch.from_numpy(stacked(rows, part, tokens.shape[1]))
        gatherer.add(values, torch.from_numpy(ids[part]), torch.from_numpy(tokens[part]))
    by_id = {c.context: c for c in contexts}
    return [_held_outs(gatherer.exemplars(position, name), by_id, sizes) for position, name in enumerate(names)]


def _held_outs(exemplars: Sequence[Exemplar], contexts: Mapping[int, Context], sizes: Evidence) -> HeldOuts:
    blind = {e.context for e in exemplars if e.kind == Kind.RANDOM}
    once = {e.context: e for e in exemplars}
    held_out = tuple(HeldOut(contexts[c], e.activations, random=c in blind) for c, e in once.items())
    rows = pd.DataFrame([vars(e) for e in exemplars])
    return held_out, slices_of(rows, sizes)[TOP_AND_RANDOM]
