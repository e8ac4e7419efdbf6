"""What the scores say about a method: does it tell a right explanation from a wrong one?

The sample is the meaning: a meaning that is planted twice, graded and binary, counts once, with the mean of both; and
of each unit all foils count as one number, the share of them that score below the true explanation (a within-unit
AUROC).

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
from autointerp.benchmark_rows import BenchmarkRow, PlantedScore
from autointerp.metrics.intervals import Interval, Resampling, interval
from autointerp.metrics.metrics import CONSTANT_PREDICTION
from autointerp.planted.bounds import CHANCE, exact_bounds, share_interval
from autointerp.planted.meanings import FORMS, KINDS, NEAR_MISS, NOISE, OTHER, TOO_BROAD, TOO_NARROW, TRUE, WRONG
from autointerp.planted.pairings import EXPLANATIONS, NONE
from autointerp.planted.sight import Sight, sight

TEST, DEVELOPMENT, BOTH = "test", "development", "both"
HALVES = (TEST, DEVELOPMENT)
"""The frozen half, which is the headline, and the half that prompts may be tuned on. BOTH together is what single kinds
are read on: half of a kind is a handful of meanings."""
SEEN, BLIND = str(Sight.SEEN), str(Sight.BLIND)
POOLED = (SEEN, BLIND)
"""Kinds together: those that the method can see by construction, and those that it can't, which are a control. Never
all kinds: their mean is a choice of the mix."""
AGAINST_NOISE = NOISE
"""In place of `wrong`, for a method that reads no explanation: its scores of units that mean something, against its
scores of units that mean nothing."""
RANKS: Mapping[str, int] = {TRUE: 2, TOO_BROAD: 1, TOO_NARROW: 1, NEAR_MISS: 0, OTHER: 0}
"""How much of the unit an explanation predicts: all of it; a part, or all of it among more; nothing. A near miss names
none of the unit's tokens, however near its words are: it predicts what another unit's explanation predicts."""

Told = Mapping[str, Sequence[PlantedScore]]
"""The scores of one unit in one form, by sort of explanation: one each, and of OTHER one per foil."""
Found = list[tuple[str, list[float | None]]]
"""Per unit its meaning, and a number per explanation; None: unscored."""


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
    """Whether a method's score falls as the explanation gets worse; frozen half, kinds that it sees, one form."""

    means: Mapping[str, Interval]
    """Mean score by sort of explanation."""
    order: Interval
    """Mean over meanings of Somers' d of the score on RANKS, in [-1, 1]: of the pairs of explanations of one unit that
    differ in rank, the share in the right order minus the share in the wrong one."""
    n: int
    """Meanings that are ranked: of units all of whose explanations are scored."""


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
        found: dict[tuple[str, str, str], dict[str, dict[str, list[PlantedScore]]]] = defaultdict(dict)
        for score in scores:
            units = found[score.half, score.kind, score.form]
            units.setdefault(score.unit, {}).setdefault(score.explanation, []).append(score)
        self._units = found
        self.forms = [form for form in (*FORMS, "") if any(form == of for _, _, of in found)]
        """In which its explanations are told; '' for one that reads none."""
        self.reasons = Counter(score.reason for score in scores if score.value is None)
        """Why there is no score, and how often; constant predictions among them."""

    def holds(self, kind: str, pooled: str, form: str) -> bool:
        """Whether `kind` is among `pooled`, a kind or one of POOLED."""
        return kind == pooled or (kind != NOISE and sight(self.method, kind, form) == pooled)

    def units(self, half: str, pooled: str, form: str) -> Iterator[Told]:
        """The scores of each unit of a half and a kind, in one form."""
        for (of_half, kind, of_form), units in self._units.items():
            if half in (of_half, BOTH) and form == of_form and self.holds(kind, pooled, form):
                yield from units.values()

    def pairs(self, half: str, pooled: str, form: str, wrong: str) -> Found:
        """Whether the true explanation scores above each wrong one of a sort, per unit."""
        found: Found = []
        for unit in self.units(half, pooled, form):
            if TRUE not in unit or wrong not in unit:
                continue
            true = level_of(unit[TRUE][0])
            others = [level_of(score) for score in unit[wrong]]
            beaten = [None if true is None or o is None else above_chance_of(true, o) for o in others]
            found.append((unit[TRUE][0].meaning, beaten))
        return found

    def values(self, half: str, pooled: str, form: str, sort: str) -> Found:
        """Scores with the explanations of one sort, per unit that has such."""
        units = (unit[sort] for unit in self.units(half, pooled, form) if sort in unit)
        return [(told[0].meaning, [level_of(score) for score in told]) for told in units]


def by_meaning(found: Found) -> Float[np.ndarray, " meaning"]:
    """The mean of each meaning's units, each the mean of its values; what is unscored is left out."""
    groups: dict[str, list[float]] = defaultdict(list)
    for meaning, values in found:
        known = [value for value in values if value is not None]
        if known:
            groups[meaning].append(float(np.mean(known)))
    return np.array([np.mean(values) for values in groups.values()], dtype=np.float64)


def rows_of(scores: Scores, cost: Cost, plan: Resampling, seed: int) -> list[BenchmarkRow]:
    """Every line of the table for one method: by half, by form, by kind and pooled, by sort of wrong explanation."""
    rows: list[BenchmarkRow] = []
    for half in (*HALVES, BOTH):
        for form in scores.forms:
            for kind in (*POOLED, *scores.kinds):
                if not any(scores.units(half, kind, form)):
                    continue
                if scores.explained:
                    rows += _explained(scores, half, kind, form, cost, plan, seed)
                elif kind != NOISE:
                    rows.append(_against_noise(scores, half, kind, cost, plan, seed))
    return rows


def _explained(
    scores: Scores, half: str, kind: str, form: str, cost: Cost, plan: Resampling, seed: int
) -> Iterator[BenchmarkRow]:
    rng = rng_of(seed, "benchmark", scores.method, half, kind, form)
    others = scores.values(half, kind, form, OTHER)
    null = interval(by_meaning(others), "mean", plan, rng)
    for wrong in (OTHER,) if kind == NOISE else WRONG:
        pairs = scores.pairs(half, kind, form, wrong)
        counted = others if kind == NOISE else pairs  # nothing is true of noise: it has a null, and no AUROC
        better = share_interval(by_meaning(pairs), plan, rng)
        yield _row(scores.method, kind, form, wrong, half, better, null, counted, cost)


def _against_noise(scores: Scores, half: str, kind: str, cost: Cost, plan: Resampling, seed: int) -> BenchmarkRow:
    rng = rng_of(seed, "benchmark", scores.method, half, kind)
    found, noise = scores.values(half, kind, "", NONE), scores.values(half, NOISE, "", NONE)
    better = _superiority(by_meaning(found), by_meaning(noise), plan, rng)
    null = interval(by_meaning(noise), "mean", plan, rng)
    return _row(scores.method, kind, "", AGAINST_NOISE, half, better, null, found, cost)


def _row(
    method: str, kind: str, form: str, wrong: str, half: str, better: Interval, null: Interval, found: Found, cost: Cost
) -> BenchmarkRow:
    asked = sum(len(values) for _, values in found)
    scored = sum(value is not None for _, values in found for value in values)
    return BenchmarkRow(
        method=method,
        kind=kind,
        form=form,
        wrong=wrong,
        auroc=better.value,
        low=better.low,
        high=better.high,
        null_mean=null.value,
        null_low=null.low,
        null_high=null.high,
        coverage=scored / asked if asked else 0.0,
        tokens_per_unit=cost.tokens_per_unit,
        seconds_per_unit=cost.seconds_per_unit,
        n=len(by_meaning(found)),
        foils=asked / len(found) if found else 0.0,
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
    if table.min() == table.max():
        return Interval(value, *exact_bounds(value, min(table.shape), plan.confidence), note="exact")
    if min(table.shape) == 1:
        return Interval(value, note="one value on a side: no interval")
    # A resample's mean is weights x table x weights: how often each value was drawn.
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=plan.resamples) / n for n in table.shape]
    means = np.einsum("ri,ij,rj->r", drawn[0], table, drawn[1], optimize=True)
    tail = (1 - plan.confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def calibration_of(scores: Scores, form: str, plan: Resampling, seed: int) -> Calibration:
    """Mean score by sort of explanation, and how well the scores keep to RANKS; of a method that reads explanations."""
    rng = rng_of(seed, "benchmark", scores.method, "calibration", form)
    means = {
        sort: interval(by_meaning(scores.values(TEST, SEEN, form, sort)), "mean", plan, rng) for sort in EXPLANATIONS
    }
    orders: Found = []
    for unit in scores.units(TEST, SEEN, form):
        known = {
            sort: [value for score in told if (value := level_of(score)) is not None] for sort, told in unit.items()
        }
        whole = len(known) == len(EXPLANATIONS) and all(known.values())
        orders.append((unit[TRUE][0].meaning, [somers_d(known) if whole else None]))
    found = by_meaning(orders)
    return Calibration(means, interval(found, "mean", plan, rng), len(found))


def somers_d(scores: Mapping[str, Sequence[float]]) -> float:
    """Somers' d of scores by sort of explanation on RANKS: pairs of equal rank don't count, equal scores count 0; where
    a sort has several scores, a pair of sorts counts as their mean."""
    signs = [
        np.sign(np.subtract.outer(scores[better], scores[worse])).mean()
        for better in scores
        for worse in scores
        if RANKS[better] > RANKS[worse]
    ]
    return float(np.mean(signs))


def with_unscored_at_chance(scores: Scores, half: str, pooled: str, form: str, wrong: str) -> float | None:
    """The mean over meanings with 0.5 for every unscored pair; None without a unit."""
    pairs = scores.pairs(half, pooled, form, wrong)
    filled = by_meaning([(m, [CHANCE if value is None else value for value in values]) for m, values in pairs])
    return float(filled.mean()) if filled.size else None
