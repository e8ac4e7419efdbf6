"""How far an attribution can be trusted: its faithfulness on drawn targets, beside dumb ones, over prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import kendalltau

from autointerp.artifacts import rng_of
from autointerp.attribution.attributors import DUMB, METHODS, RANDOM, RECENCY, AttributionMatrix, AttributionSettings
from autointerp.attribution.faithfulness import faithfulness
from autointerp.attribution.gradients import baseline
from autointerp.attribution.masks import Masks
from autointerp.attribution.removal import TokenMasks
from autointerp.attribution.targets import Outputs
from autointerp.attribution_rows import AttributionFaithfulnessRow
from autointerp.metrics.intervals import Interval, Resampling, Scale, mean_interval

TARGETS = 4
"""Output tokens of a passage that are tried."""
PERMUTED = ", weights permuted"
"""Behind the name of a method that was computed on a destroyed model."""
MEASURES: Mapping[str, str] = {
    "comprehensiveness": "higher", "sufficiency": "lower", "deletion": "lower", "insertion": "higher",
}  # fmt: skip
"""Of faithfulness -> which way is better."""
_SCALES: Mapping[str, Scale] = {"deletion": (0.0, 1.0), "insertion": (0.0, 1.0)}
_OF_DIFFERENCES: Scale = (-1.0, 1.0)


def tried_targets(outputs: Outputs, most: int, seed: int) -> list[int]:
    """Output tokens that at least two tokens stand before, at most so many, drawn."""
    passage = outputs.passage
    able = [target for target in range(passage.targets) if passage.before(target) - passage.fixed >= 2]
    rng = rng_of(seed, "tried targets", passage.key)
    return sorted(int(t) for t in rng.permutation(able)[:most]) if able else []


def faithfulness_rows(
    outputs: Outputs, matrices: Mapping[str, AttributionMatrix], settings: AttributionSettings, number: int, most: int
) -> list[AttributionFaithfulnessRow]:
    """A row per method and tried target of passage `number`. Tokens are taken away as `settings.baseline` says."""
    score = TokenMasks(outputs, baseline(outputs, settings.baseline), probability=True)
    passage = outputs.passage
    rows = []
    for target in tried_targets(outputs, most, settings.seed):
        columns = passage.before(target) - passage.fixed
        for method, matrix in matrices.items():
            importance = matrix.values[passage.fixed : passage.before(target), target]
            rng = rng_of(settings.seed, "ties", method, target, passage.key)
            (found,) = faithfulness(_OneTarget(score, target, passage.parts, columns), importance[:, None], rng)
            rows.append(
                AttributionFaithfulnessRow(
                    number, target, method, found.whole, found.comprehensiveness, found.sufficiency, found.deletion,
                    found.insertion, _stability(outputs, method, settings, target, importance),
                    None if matrix.delta is None else float(matrix.delta[target]),
                    None if matrix.change is None else float(matrix.change[target]),
                )
            )  # fmt: skip
    return rows


@dataclass(frozen=True)
class _OneTarget:
    """The scorer of one target, over the tokens that stand before it."""

    score: TokenMasks
    target: int
    parts: int
    columns: int

    def __call__(self, masks: Masks) -> Float[np.ndarray, "draw 1"]:
        whole = np.concatenate([masks, np.ones((len(masks), self.parts - self.columns), dtype=bool)], axis=1)
        return np.asarray(self.score(whole)[:, self.target : self.target + 1])


def _stability(
    outputs: Outputs, method: str, settings: AttributionSettings, target: int, importance: Float[np.ndarray, " part"]
) -> float | None:
    known = METHODS.get(method)
    if known is None or not known.drawn:
        return None
    passage = outputs.passage
    other = known.compute(outputs, replace(settings, seed=settings.seed + 1)).values
    tau = kendalltau(importance, other[passage.fixed : passage.before(target), target]).statistic
    return float(tau) if np.isfinite(tau) else None


@dataclass(frozen=True)
class TrustLine:
    """One measure of one method over passages: targets of a passage are averaged first."""

    method: str
    measure: str
    mean: Interval
    above_random: Interval | None
    """Paired difference to random on the same passages, positive where the method is better; None for random."""
    above_recency: Interval | None
    """The same to recency; None for the dumb ones."""
    passages: int
    targets: int


def summary(rows: Sequence[AttributionFaithfulnessRow], plan: Resampling, seed: int) -> list[TrustLine]:
    """Means over passages with intervals, and differences to the dumb ones; of one passage there is no interval."""
    table = pd.DataFrame([vars(row) for row in rows])
    found = []
    for method in dict.fromkeys(table["method"]):
        mine = table[table["method"] == method]
        for measure, better in MEASURES.items():
            per = mine.groupby("passage")[measure].mean()
            rng = rng_of(seed, "trust", method, measure)
            mean = mean_interval(per.to_numpy(), plan, rng, _SCALES.get(measure, _OF_DIFFERENCES))

            def above(dumb: str, per: Any = per, measure: str = measure, better: str = better, rng: Any = rng) -> Any:
                other = table[table["method"] == dumb].groupby("passage")[measure].mean()
                by = ((per - other) if better == "higher" else (other - per)).dropna().to_numpy()
                return mean_interval(by, plan, rng, _OF_DIFFERENCES) if by.size else None

            random = None if method == RANDOM else above(RANDOM)
            recency = None if method in DUMB else above(RECENCY)
            found.append(TrustLine(method, measure, mean, random, recency, len(per), len(mine)))
    return found
