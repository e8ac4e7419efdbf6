"""Which unit is held against whose explanation: its own, and, seeded, other units' of the same arm (derangements)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from autointerp.artifacts import rng_of
from autointerp.contexts.naming import kind_of
from autointerp.contexts.slices import CALIBRATION, HARD_NEGATIVES, Held, read_slices
from autointerp.errors import BadInput
from autointerp.records import Pairing, Status, Unscored
from autointerp.study import Study
from autointerp.tables import PROPOSALS, read_table


def derangements(n: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, "derangement unit"]:
    """Draw `count` permutations of `n` units without a fixed point, uniformly and independently.

    Entry [d, u] is the unit whose explanation unit u gets in derangement d. A permutation with a fixed point is thrown
    away as a whole (about 1.7 for each that is kept): mending it instead would not be uniform.

    Raises BadInput when there is no other unit to pair with.
    """
    if n < 2:
        raise BadInput(f"no other unit in the arm (it has {n})", "sample at least two units of every arm")
    own = np.arange(n)
    kept: list[Int[np.ndarray, " unit"]] = []
    while len(kept) < count:
        drawn = rng.permutation(n)
        if not (drawn == own).any():
            kept.append(drawn)
    return np.stack(kept) if kept else np.empty((0, n), dtype=np.int64)


OWN = -1
"""In place of the number of a derangement: the unit's own explanation."""
OTHER_KIND = -2
"""The best of the unit's own texts of the kind that its explanation is not: a list or a description."""


@dataclass(frozen=True)
class Sampled:
    """A sampled unit, with what it is scored on."""

    unit: str
    arm: str
    explanation: str | Unscored
    slices: Mapping[str, Held]

    @property
    def contexts(self) -> tuple[int, ...]:
        """What is simulated: held-out contexts of all its slices, and those for calibration, each once."""
        return self._all_but(HARD_NEGATIVES)

    @property
    def judged(self) -> tuple[int, ...]:
        """What judges may draw from: held-out contexts of all its slices and its hard negatives, each once."""
        return self._all_but(CALIBRATION)

    def _all_but(self, left_out: str) -> tuple[int, ...]:
        slices = (held for name, held in self.slices.items() if name != left_out)
        return tuple(dict.fromkeys(int(c) for held in slices for c in held.contexts))


@dataclass(frozen=True)
class Pair:
    """One unit on another unit's explanation, or on its own (derangement -1)."""

    unit: Sampled
    explained: Sampled
    """Whose explanation it is."""
    derangement: int

    @property
    def texts(self) -> tuple[str, ...]:
        """The explanations whose words are listed: the one that is tried, and beside another unit's its own."""
        both = (self.unit, self.explained) if self.derangement >= 0 else (self.explained,)
        return tuple(sampled.explanation for sampled in both if isinstance(sampled.explanation, str))


def read_sampled(study: Study, run: Path, calibrate: bool) -> list[Sampled]:
    """The units that were not excluded, in the order of the table; with contexts to calibrate on, where wanted."""
    units = read_table(run / "units.parquet", ["unit", "arm", "status"])
    texts = read_table(run / "explanations.parquet", ["unit", "text", "status", "reason"]).set_index("unit")
    slices = read_slices(run, study.evidence, calibrate)
    rows = []
    for unit, arm in units.loc[units["status"] != str(Status.EXCLUDED), ["unit", "arm"]].itertuples(index=False):
        told = texts.loc[unit]
        text = str(told["text"]) if told["status"] == str(Status.OK) else Unscored(f"no explanation: {told['reason']}")
        rows.append(Sampled(unit, arm, text, slices.get((unit, 0), {})))
    return rows


def own_pairs(units: Sequence[Sampled]) -> list[Pair]:
    """Every unit with its own explanation."""
    return [Pair(unit, unit, OWN) for unit in units]


def other_kind_pairs(run: Path, units: Sequence[Sampled]) -> list[Pair]:
    """Every unit that has both kinds of text with the best of the kind that was not chosen, by the ranking.

    None for a run whose proposals were not kept (of an earlier version).
    """
    if not (run / PROPOSALS).is_file():
        return []
    proposals = read_table(run / PROPOSALS, ["unit", "kind", "text", "evidence_score"]).dropna(subset="evidence_score")
    first = proposals.sort_values("evidence_score", ascending=False, kind="stable").groupby(["unit", "kind"]).first()
    best = dict(zip(first.index, first["text"], strict=True))
    pairs = []
    for unit in units:
        if isinstance(unit.explanation, str):
            other = Pairing.LIST if kind_of(unit.explanation) == Pairing.DESCRIPTION else Pairing.DESCRIPTION
            if (unit.unit, other.value) in best:
                text = str(best[unit.unit, other.value])
                pairs.append(Pair(unit, replace(unit, explanation=text), OTHER_KIND))
    return pairs


def shuffled_pairs(units: Sequence[Sampled], count: int, seed: int) -> list[Pair]:
    """`count` seeded derangements inside each arm; an arm of one unit has none (the score stage says why).

    The first derangements are the same whatever `count` is.
    """
    pairs = []
    for arm in dict.fromkeys(u.arm for u in units):
        members = [u for u in units if u.arm == arm]
        if len(members) < 2:
            continue
        drawn = derangements(len(members), count, rng_of(seed, "derangements", arm))
        for number, row in enumerate(drawn):
            pairs += [Pair(members[i], members[int(j)], number) for i, j in enumerate(row)]
    return pairs
