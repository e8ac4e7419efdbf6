"""Is an attribution right about the model? Take away what it calls important, and see what the model then says.

Comprehensiveness and sufficiency as ERASER has them (DeYoung et al. 2020); curves as Petsiuk et al. 2018. All of it is
relative to how parts are taken away, which the scorer does; and none of it means anything but beside what a random
attribution and other dumb ones get on the same inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from autointerp.attribution.masks import Masks, MaskScorer

SHARES = (0.05, 0.1, 0.2, 0.5)
"""Of the parts, those that are taken away (or alone kept): at least one part each."""
CURVE = 10
"""Steps of a curve, from nothing to all parts."""


@dataclass(frozen=True)
class Faithfulness:
    """Of one attribution of one target. Scores are what the scorer gives, probabilities as a rule."""

    whole: float
    """The score of the whole input."""
    comprehensiveness: float
    """Mean loss of score when the most important parts are taken away; the higher the better."""
    sufficiency: float
    """Mean loss of score when they alone are kept; the lower the better."""
    deletion: float
    """Area under the score while parts are taken away, the most important first; the lower the better."""
    insertion: float
    """Area under the score while parts are given back, the most important first; the higher the better."""
    flip: float
    """Share of the parts that are taken away, the most important first, at the first point of the deletion curve whose
    score is below `flips`; 1 where none is."""


def order(importance: Float[np.ndarray, " part"], rng: np.random.Generator) -> Int[np.ndarray, " part"]:
    """Parts from the most important to the least; equals in an order that `rng` draws."""
    mixed = rng.permutation(importance.size)
    return np.asarray(mixed[np.argsort(-importance[mixed], kind="stable")])


def faithfulness(
    score: MaskScorer, importance: Float[np.ndarray, "part target"], rng: np.random.Generator, *, flips: float = 0.5
) -> list[Faithfulness]:
    """One per target. `score` is called once, with all masks; the score of a target is in its own column.

    Equals among the parts are ordered by `rng`. `flips`: a score below which the model decides otherwise.
    """
    parts, targets = importance.shape
    plans = [_masks(order(importance[:, target], rng)) for target in range(targets)]
    scores = score(np.concatenate([np.ones((1, parts), dtype=bool), *(plan for plan in plans)]))
    rows = len(plans[0])
    found = []
    for target in range(targets):
        first = 1 + target * rows
        found.append(_read(float(scores[0, target]), scores[first : first + rows, target], parts, flips))
    return found


def _masks(ranked: Int[np.ndarray, " part"]) -> Masks:
    """Without the top, the top alone, deletion and insertion curves, one after the other."""
    parts = ranked.size
    tops = [ranked[: counted(share, parts)] for share in SHARES]
    points = [ranked[:taken] for taken in curve(parts)]
    away = [_without(parts, each) for each in [*tops, *points]]
    alone = [~each for each in away]
    return np.array([*away[: len(SHARES)], *alone[: len(SHARES)], *away[len(SHARES) :], *alone[len(SHARES) :]])


def counted(share: float, parts: int) -> int:
    """How many parts a share is: at least one."""
    return max(1, round(share * parts))


def curve(parts: int) -> list[int]:
    """How many parts are taken away (or given back) at each point: from none to all; every number where few."""
    return sorted({round(parts * step / CURVE) for step in range(CURVE + 1)})


def _without(parts: int, taken: Int[np.ndarray, " taken"]) -> Bool[np.ndarray, " part"]:
    mask = np.ones(parts, dtype=bool)
    mask[taken] = False
    return mask


def _read(whole: float, scores: Float[np.ndarray, " mask"], parts: int, flips: float) -> Faithfulness:
    few = len(SHARES)
    away, alone, rest = scores[:few], scores[few : 2 * few], scores[2 * few :]
    points = np.array(curve(parts)) / parts
    down, up = rest[: len(points)], rest[len(points) :]
    below = np.flatnonzero(down < flips)
    return Faithfulness(
        whole,
        float(np.mean(whole - away)),
        float(np.mean(whole - alone)),
        float(np.trapezoid(down, points)),
        float(np.trapezoid(up, points)),
        float(points[below[0]]) if below.size else 1.0,
    )
