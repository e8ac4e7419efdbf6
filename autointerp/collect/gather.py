"""Gathering: the contexts of sampled units with their true activations, in one pass per split, in fixed memory.

Where co-active units are looked for, one bit per context and unit says in which contexts each unit is active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from autointerp.artifacts import rng_of, seed_of
from autointerp.collect.survey import TopContexts
from autointerp.records import Exemplar, Kind

_CHUNK = 4096


class Activity:
    """Filled in the order of the split's contexts, then read in any part of it."""

    def __init__(self, units: int, contexts: Int[np.ndarray, " context"]) -> None:
        """`contexts` are the ids of the whole split, in order."""
        self._units, self._contexts, self._filled = units, contexts, 0
        self._bits = np.zeros((len(contexts), -(-units // 8)), dtype=np.uint8)

    def add(self, active: Bool[np.ndarray, "context unit"], contexts: Int[np.ndarray, " context"]) -> None:
        """Take the next contexts; ValueError when they are others."""
        rows = slice(self._filled, self._filled + len(contexts))
        if not np.array_equal(self._contexts[rows], contexts):
            raise ValueError("the contexts of a split came in another order than that of their table")
        self._bits[rows] = np.packbits(active, axis=1)
        self._filled = rows.stop

    def rows(self, first: int, last: int) -> Bool[np.ndarray, "context unit"]:
        """The contexts at places `first` up to `last`."""
        return np.unpackbits(self._bits[first:last], axis=1, count=self._units).astype(bool)

    def overlap(self) -> Float[np.ndarray, "unit unit"]:
        """Of the contexts in which either of two units is active, the share in which both are; 0 where neither ever is.

        Not the number of them: then the densest unit would be everybody's nearest.
        """
        both = np.zeros((self._units, self._units))
        for first in range(0, self._filled, _CHUNK):
            active = self.rows(first, first + _CHUNK).astype(np.float32)
            both += active.T @ active
        alone = np.diag(both)
        return np.asarray(both / np.maximum(alone[:, None] + alone[None, :] - both, 1))


@dataclass(frozen=True)
class Wanted:
    """Which contexts to keep for every unit."""

    top: int
    random: int
    """Drawn blindly, before any activation is seen."""
    quantiles: int = 0
    per_quantile: int = 0
    hard_negatives: bool = False
    """Whether hard negatives are looked for after the pass, which takes a bit per context and unit."""

    @property
    def reservoir(self) -> int:
        """Active contexts kept for the quantile bands."""
        return max(64, 4 * self.quantiles * self.per_quantile) if self.quantiles else 0


class Gatherer:
    """Keeps, per unit: its top contexts, a fair reservoir of its active ones, its random ones, and its hard negatives.

    Whether a context enters a reservoir depends on the unit and the context alone (a seeded priority), so the
    outcome is the same however contexts are batched. Memory: units x contexts kept x tokens per context.
    """

    def __init__(self, names: Sequence[str], wanted: Wanted, contexts: Int[np.ndarray, " context"], seed: int) -> None:
        """`names` seed each unit's draws (give orientations and sparse twins one name to share them);
        `contexts` are the ids of the whole split."""
        self.names, self.population = tuple(names), len(contexts)
        self._wanted, self._units = wanted, len(names)
        self._top = TopContexts(len(names), wanted.top)
        self._top_values: Tensor | None = None
        self._random_ids = [
            rng_of(seed, "random", name).choice(contexts, size=min(wanted.random, len(contexts)), replace=False)
            for name in names
        ]
        self._random_rows: dict[int, list[tuple[int, int]]] = {}
        for unit, ids in enumerate(self._random_ids):
            for position, context in enumerate(ids):
                self._random_rows.setdefault(int(context), []).append((unit, position))
        self._random_values: list[dict[int, np.ndarray]] = [{} for _ in names]
        salts = [seed_of(seed, "reservoir", name) % (1 << 31) for name in names]
        self._salt = torch.tensor(salts, dtype=torch.int64)
        size = wanted.reservoir
        self._keys = torch.full((len(names), size), 1 << 62, dtype=torch.int64)
        self._kept = torch.full((len(names), size), -1, dtype=torch.int64)
        self._kept_values: Tensor | None = None
        self._active_contexts = torch.zeros(len(names), dtype=torch.int64)
        self.activity = Activity(len(names), contexts if wanted.hard_negatives else contexts[:0])
        """In which contexts each unit is active; empty unless hard negatives are wanted."""
        self._hard_negatives: list[list[tuple[str, int]]] = [[] for _ in names]
        self._length = 0

    def add(
        self,
        values: Float[Tensor, "context token unit"],
        contexts: Int[Tensor, " context"],
        tokens: Int[Tensor, "context token"],
    ) -> None:
        """Take one batch of true activations."""
        by_unit = values.cpu().permute(2, 0, 1)
        peaks, where = by_unit.max(dim=2)
        self._length = by_unit.shape[2]
        self._active_contexts += (peaks > 0).sum(dim=1)
        if self._wanted.hard_negatives:
            self.activity.add((peaks > 0).T.numpy(), contexts.numpy())
        peak_tokens = tokens.expand(self._units, -1, -1).gather(2, where[..., None])[..., 0]
        order = self._top.add(peaks.T, contexts, peak_tokens.T)
        self._top_values = _follow(self._top_values, by_unit, order)
        if self._wanted.reservoir:
            self._fill_reservoir(by_unit, peaks > 0, contexts)
        for row, context in enumerate(contexts.tolist()):
            for unit, place in self._random_rows.get(context, ()):
                self._random_values[unit][place] = by_unit[unit, row].numpy().copy()

    def _fill_reservoir(
        self,
        values: Float[Tensor, "unit context token"],
        active: Bool[Tensor, "unit context"],
        contexts: Int[Tensor, " context"],
    ) -> None:
        keys = self._mixed(contexts).where(active, torch.tensor(1 << 62))
        order = torch.cat([self._keys, keys], dim=1).argsort(dim=1, stable=True)[:, : self._wanted.reservoir]
        self._keys = torch.cat([self._keys, keys], dim=1).gather(1, order)
        kept = torch.cat([self._kept, contexts.expand(self._units, -1)], dim=1).gather(1, order)
        self._kept = kept.where(self._keys < 1 << 62, torch.tensor(-1))
        self._kept_values = _follow(self._kept_values, values, order)

    def _mixed(self, contexts: Int[Tensor, " context"]) -> Int[Tensor, "unit context"]:
        return _mix(self._salt[:, None] + contexts[None, :] * 0x9E3779B1)

    def priorities(self, contexts: Int[np.ndarray, " context"]) -> Int[np.ndarray, "unit context"]:
        """The seeded order in which contexts come that are otherwise alike: the lower first."""
        return np.asarray(self._mixed(torch.from_numpy(contexts)).numpy())

    def drawn_at_random(self, contexts: Int[np.ndarray, " context"]) -> Bool[np.ndarray, "context unit"]:
        """Which of the contexts were drawn at random for which units."""
        drawn = np.zeros((len(contexts), self._units), dtype=bool)
        for row, context in enumerate(contexts.tolist()):
            drawn[row, [unit for unit, _ in self._random_rows.get(context, ())]] = True
        return drawn

    @property
    def top_contexts(self) -> Int[np.ndarray, "unit rank"]:
        """Ids of the top contexts, the strongest first; -1 where a unit has no more."""
        return np.asarray(self._top.contexts.numpy())

    @property
    def top_tokens(self) -> Int[np.ndarray, "unit rank"]:
        """Token ids under the peaks of the top contexts; -1 where a unit has no more."""
        return np.asarray(self._top.tokens.numpy())

    def keep_hard_negatives(self, found: Sequence[Sequence[tuple[str, int]]]) -> None:
        """Take each unit's hard negatives: (kind, context), on all of which it is silent."""
        self._hard_negatives = [list(of_unit) for of_unit in found]

    def single_token(self) -> Float[np.ndarray, " unit"]:
        """Share of the top contexts whose peak is on the most common peak token."""
        return self._top.single_token()

    def exemplars(self, unit: int, name: str) -> list[Exemplar]:
        """What was gathered for one unit: top, quantile bands from low to high, random, hard negatives."""
        silent = np.zeros(self._length, dtype=np.float32)
        hard = [Exemplar(name, 0, context, kind, 1.0, silent) for kind, context in self._hard_negatives[unit]]
        return [*self._tops(unit, name), *self._bands(unit, name), *self._randoms(unit, name), *hard]

    def _tops(self, unit: int, name: str) -> list[Exemplar]:
        if self._top_values is None:
            return []
        return [
            Exemplar(name, 0, int(context), Kind.TOP, 1.0, self._top_values[unit, rank].numpy().copy())
            for rank, context in enumerate(self._top.contexts[unit])
            if context >= 0
        ]

    def _bands(self, unit: int, name: str) -> list[Exemplar]:
        """Contexts from each of the bands that split the unit's other active contexts evenly by peak."""
        if self._kept_values is None or not self._wanted.quantiles:
            return []
        taken = set(self._top.contexts[unit].tolist())
        places = [p for p, c in enumerate(self._kept[unit].tolist()) if c >= 0 and c not in taken]
        peaks = self._kept_values[unit].amax(dim=1)
        places.sort(key=lambda p: (float(peaks[p]), int(self._kept[unit, p])))
        others = max(int(self._active_contexts[unit]) - sum(c >= 0 for c in taken), 0)
        rows = []
        for band, members in enumerate(np.array_split(np.array(places, dtype=np.int64), self._wanted.quantiles)):
            chosen = sorted(members, key=lambda p: int(self._keys[unit, p]))[: self._wanted.per_quantile]
            weight = others * len(members) / max(len(places), 1) / max(len(chosen), 1)
            for place in sorted(chosen):
                values = self._kept_values[unit, place].numpy().copy()
                rows.append(Exemplar(name, 0, int(self._kept[unit, place]), f"{Kind.QUANTILE}-{band}", weight, values))
        return rows

    def _randoms(self, unit: int, name: str) -> list[Exemplar]:
        ids, values = self._random_ids[unit], self._random_values[unit]
        missing = [int(ids[position]) for position in range(len(ids)) if position not in values]
        if missing:
            raise ValueError(f"{name}: the pass never reached the random contexts {missing}")
        weight = self.population / len(ids)
        return [Exemplar(name, 0, int(c), Kind.RANDOM, weight, values[position]) for position, c in enumerate(ids)]


def _follow(
    old: Float[Tensor, "unit kept token"] | None,
    new: Float[Tensor, "unit context token"],
    order: Int[Tensor, "unit kept"],
) -> Float[Tensor, "unit kept token"]:
    """Rearrange activations the way their keys were."""
    if old is None:
        old = torch.zeros(new.shape[0], order.shape[1], new.shape[2])
    both = torch.cat([old, new], dim=1)
    return both.gather(1, order[..., None].expand(-1, -1, new.shape[2]))


def _mix(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Scramble integers (two rounds of multiply and xor-shift), into 0 ... 2**61 - 1."""
    for multiplier in (0x2545F4914F6CDD1D, 0x369DEA0F31A53F85):
        x = x * multiplier
        x = x ^ ((x >> 29) & ((1 << 35) - 1))
    return x & ((1 << 61) - 1)
