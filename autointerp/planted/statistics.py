"""What the scores say about a method: does it tell a right explanation from a wrong one?

The sample is the meaning: a meaning that is planted twice, graded and binary, counts once, with the mean of both.

A prediction that is the same on every token has no correlation, and a run leaves such a unit unscored. Here it is what
a good method makes of a wrong explanation: nothing in these contexts fits it. So it is compared as what knowing nothing
scores, which is 0; the table of scores keeps it as unscored, and the page counts it. Any other failure is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.metrics.intervals import Interval, Resampling, interval
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.planted.meanings import KINDS, NOISE
from autointerp.planted.pairings import EXPLANATIONS, NONE
from autointerp.planted.units import NEAR_MISS, OTHER, TOO_BROAD, TOO_NARROW, TRUE, WRONG
from autointerp.rows import BenchmarkRow, PlantedScore

TEST, DEVELOPMENT, BOTH = "test", "development", "both"
HALVES = (TEST, DEVELOPMENT)
"""The frozen half, which is the headline, and the half that prompts may be tuned on. BOTH together is what single kinds
are read on: half of a kind is a handful of meanings."""
ALL, WORD_LIKE = "all", "word-like"
POOLED = (ALL, WORD_LIKE)
"""Kinds together: every kind that means something, and those that the token alone decides."""
AGAINST_NOISE = NOISE
"""In place of `wrong`, for a method that reads no explanation: its scores of units that mean something, against its
scores of units that mean nothing."""
CHANCE = 0.5
RANKS: Mapping[str, int] = {TRUE: 2, TOO_BROAD: 1, TOO_NARROW: 1, NEAR_MISS: 0, OTHER: 0}
"""How much of the unit an explanation predicts: all of it; a part, or all of it among more; nothing. A near miss names
none of the unit's tokens, however near its words are: it predicts what another unit's explanation predicts."""


def level_of(score: PlantedScore) -> float | None:
    """What a score is compared by: its value; for a constant prediction, what knowing nothing scores; or None."""
    return 0.0 if score.value is None and score.reason == CONSTANT_PREDICTION.reason else score.value


@dataclass(frozen=True)
class Cost:
    """What a method took; None where part of it came from the ledger, so that it can't be told."""

    tokens_per_unit: float | None
    """Prompt and answer tokens of a language model, for one unit with one explanation."""
    seconds_per_unit: float | None
    """Wall time for the same, all units together on this machine."""


@dataclass(frozen=True)
class Calibration:
    """Whether a method's score falls as the explanation gets worse; test half, all kinds."""

    means: Mapping[str, Interval]
    """Mean score by sort of explanation."""
    order: Interval
    """Mean over meanings of Somers' d of the score on RANKS, in [-1, 1]: of the pairs of explanations of one unit that
    differ in rank, the share in the right order minus the share in the wrong one."""
    n: int
    """Units all of whose explanations are scored."""


def in_kind(kind: str, pooled: str) -> bool:
    """Whether units of `kind` are among those of `pooled`, a kind or one of POOLED."""
    if pooled == ALL:
        return kind != NOISE
    return KINDS[kind].word_like if pooled == WORD_LIKE else kind == pooled


def above_chance_of(true: float, wrong: float) -> float:
    """1 when the true explanation scores above the wrong one, 0.5 at a tie, else 0."""
    return 1.0 if true > wrong else CHANCE if true == wrong else 0.0


class Scores:
    """The scores of one method."""

    def __init__(self, scores: Sequence[PlantedScore]) -> None:
        self.method = scores[0].method
        """Its name."""
        self.kinds = [kind for kind in KINDS if any(score.kind == kind for score in scores)]
        """Kinds with a unit."""
        self.explained = any(score.explanation != NONE for score in scores)
        """Whether it reads explanations."""
        self._units: dict[tuple[str, str], dict[str, dict[str, PlantedScore]]] = defaultdict(lambda: defaultdict(dict))
        for score in scores:
            self._units[score.half, score.kind][score.unit][score.explanation] = score
        self.reasons = Counter(score.reason for score in scores if score.value is None)
        """Why there is no score, and how often; constant predictions among them."""

    def units(self, half: str, pooled: str) -> Iterator[Mapping[str, PlantedScore]]:
        """The scores of each unit of a half and a kind, by sort of explanation."""
        for (of_half, kind), units in self._units.items():
            if half in (of_half, BOTH) and in_kind(kind, pooled):
                yield from units.values()

    def pairs(self, half: str, pooled: str, wrong: str) -> list[tuple[str, float | None]]:
        """Meaning, and whether the true explanation scores above the wrong one (None: unscored), per unit."""
        found: list[tuple[str, float | None]] = []
        for unit in self.units(half, pooled):
            if TRUE in unit and wrong in unit:
                true, other = level_of(unit[TRUE]), level_of(unit[wrong])
                better = None if true is None or other is None else above_chance_of(true, other)
                found.append((unit[TRUE].meaning, better))
        return found

    def values(self, half: str, pooled: str, explanation: str) -> list[tuple[str, float | None]]:
        """Meaning and score (None: unscored), per unit that has such an explanation."""
        units = self.units(half, pooled)
        return [(unit[explanation].meaning, level_of(unit[explanation])) for unit in units if explanation in unit]


def by_meaning(found: Sequence[tuple[str, float | None]]) -> Float[np.ndarray, " meaning"]:
    """The mean of each meaning's values; what is unscored is left out."""
    groups: dict[str, list[float]] = defaultdict(list)
    for meaning, value in found:
        if value is not None:
            groups[meaning].append(value)
    return np.array([np.mean(values) for values in groups.values()], dtype=np.float64)


def rows_of(scores: Scores, cost: Cost, plan: Resampling, seed: int) -> list[BenchmarkRow]:
    """Every line of the table for one method: by half, by kind and pooled, by sort of wrong explanation."""
    rows: list[BenchmarkRow] = []
    for half in (*HALVES, BOTH):
        for kind in (*POOLED, *scores.kinds):
            if not any(scores.units(half, kind)):
                continue
            if scores.explained:
                rows += _explained(scores, half, kind, cost, plan, seed)
            elif kind != NOISE:
                rows.append(_against_noise(scores, half, kind, cost, plan, seed))
    return rows


def _explained(scores: Scores, half: str, kind: str, cost: Cost, plan: Resampling, seed: int) -> Iterator[BenchmarkRow]:
    rng = rng_of(seed, "benchmark", scores.method, half, kind)
    others = scores.values(half, kind, OTHER)
    null = interval(by_meaning(others), "mean", plan, rng)
    for wrong in (OTHER,) if kind == NOISE else WRONG:
        pairs = scores.pairs(half, kind, wrong)
        counted = others if kind == NOISE else pairs  # nothing is true of noise: it has a null, and no AUROC
        n = sum(value is not None for _, value in counted)
        better = interval(by_meaning(pairs), "mean", plan, rng)
        yield _row(scores.method, kind, wrong, half, better, null, n, len(counted), cost)


def _against_noise(scores: Scores, half: str, kind: str, cost: Cost, plan: Resampling, seed: int) -> BenchmarkRow:
    rng = rng_of(seed, "benchmark", scores.method, half, kind)
    found, noise = scores.values(half, kind, NONE), scores.values(half, NOISE, NONE)
    better = _superiority(by_meaning(found), by_meaning(noise), plan, rng)
    null = interval(by_meaning(noise), "mean", plan, rng)
    n = sum(value is not None for _, value in found)
    return _row(scores.method, kind, AGAINST_NOISE, half, better, null, n, len(found), cost)


def _row(
    method: str, kind: str, wrong: str, half: str, better: Interval, null: Interval, n: int, asked: int, cost: Cost
) -> BenchmarkRow:
    return BenchmarkRow(
        method=method,
        kind=kind,
        wrong=wrong,
        auroc=better.value,
        low=better.low,
        high=better.high,
        null_mean=null.value,
        null_low=null.low,
        null_high=null.high,
        coverage=n / asked if asked else 0.0,
        tokens_per_unit=cost.tokens_per_unit,
        seconds_per_unit=cost.seconds_per_unit,
        n=n,
        half=half,
    )


def _superiority(
    first: Float[np.ndarray, " meaning"],
    second: Float[np.ndarray, " noise"],
    plan: Resampling,
    rng: np.random.Generator,
) -> Interval:
    """P(a value of `first` > a value of `second`), ties counted half; percentile bootstrap over both samples."""
    if not first.size or not second.size:
        return Interval(None, note="no scored unit")
    table = np.where(first[:, None] > second, 1.0, np.where(first[:, None] == second, CHANCE, 0.0))
    value = float(table.mean())
    if min(table.shape) == 1 or table.min() == table.max():
        return Interval(value, note="too few values that differ: no interval")
    # A resample's mean is weights x table x weights: how often each value was drawn.
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=plan.resamples) / n for n in table.shape]
    means = np.einsum("ri,ij,rj->r", drawn[0], table, drawn[1], optimize=True)
    tail = (1 - plan.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def calibration_of(scores: Scores, plan: Resampling, seed: int) -> Calibration:
    """Mean score by sort of explanation, and how well the scores keep to RANKS; of a method that reads explanations."""
    rng = rng_of(seed, "benchmark", scores.method, "calibration")
    means = {sort: interval(by_meaning(scores.values(TEST, ALL, sort)), "mean", plan, rng) for sort in EXPLANATIONS}
    orders: list[tuple[str, float | None]] = []
    for unit in scores.units(TEST, ALL):
        known = {sort: level for sort, score in unit.items() if (level := level_of(score)) is not None}
        orders.append((unit[TRUE].meaning, somers_d(known) if len(known) == len(EXPLANATIONS) else None))
    n = sum(order is not None for _, order in orders)
    return Calibration(means, interval(by_meaning(orders), "mean", plan, rng), n)


def somers_d(scores: Mapping[str, float]) -> float:
    """Somers' d of scores by sort of explanation on RANKS: pairs of equal rank don't count, equal scores count 0."""
    signs = [
        np.sign(scores[better] - scores[worse]) for better in scores for worse in scores if RANKS[better] > RANKS[worse]
    ]
    return float(np.mean(signs))


def with_unscored_at_chance(scores: Scores, half: str, pooled: str, wrong: str) -> float | None:
    """The mean over meanings with 0.5 for every unscored pair; None without a unit."""
    filled = by_meaning([(m, CHANCE if better is None else better) for m, better in scores.pairs(half, pooled, wrong)])
    return float(filled.mean()) if filled.size else None
