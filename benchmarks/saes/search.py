"""The settings that a contestant is given: learning rate and sparsity penalty, searched by one rule for everybody.

The search has vectors of its own seed, so that what it chooses is not chosen on what is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.environments import Unavailable

from saes.job import Score

NEAR = 0.2
"""An L0 is near its target when it is off by no more than this share."""
_CLOSE = 0.1
"""A search ends where the L0 is off its target by no more than this share."""
_TRIES = 4
_FIRST_STEP = 3.0
_LONGEST_STEP = 20.0


@dataclass(frozen=True)
class Settings:
    """What is searched for."""

    lr: float
    penalty: float


Trial = Callable[[Settings], Score]
"""Trains with these settings; Unavailable if that fails, as it does where training diverges."""


def is_near(l0: float, target: float) -> bool:
    """Whether codes of this L0 may be compared with those of the target's."""
    return abs(l0 / target - 1) <= NEAR


def best_settings(trial: Trial, rates: Sequence[float], penalty: float, target: float, penalised: bool) -> Settings:
    """The learning rate that leaves the least variance unexplained, among those whose L0 is near the target.

    With `penalised`, each has the penalty that `nearest_penalty` finds. Where no L0 is near: the nearest one. Raises
    Unavailable when every trial fails.
    """
    found: list[tuple[Settings, Score]] = []
    failures: list[Unavailable] = []
    for lr in rates:
        try:
            if penalised:
                found.append(nearest_penalty(trial, lr, penalty, target))
            else:
                found.append((Settings(lr, penalty), trial(Settings(lr, penalty))))
        except Unavailable as reason:
            failures.append(reason)
    if not found:
        raise failures[-1]
    near = [pair for pair in found if is_near(pair[1].l0, target)]
    if near:
        return min(near, key=lambda pair: pair[1].fvu)[0]
    return min(found, key=lambda pair: _distance(pair[1].l0, target))[0]


def nearest_penalty(trial: Trial, lr: float, penalty: float, target: float) -> tuple[Settings, Score]:
    """A few tries, each aimed by the two before it on a line in logarithms; the one whose L0 is nearest the target."""
    tried: list[tuple[Settings, Score]] = []
    for _ in range(_TRIES):
        settings = Settings(lr, penalty)
        tried.append((settings, trial(settings)))
        if abs(tried[-1][1].l0 / target - 1) <= _CLOSE:
            break
        penalty = _aimed([(pair[0].penalty, pair[1].l0) for pair in tried[-2:]], target)
    return min(tried, key=lambda pair: _distance(pair[1].l0, target))


def _aimed(points: Sequence[tuple[float, float]], target: float) -> float:
    """The penalty to try next. L0 falls with the penalty; no step is longer than _LONGEST_STEP."""
    penalty, l0 = points[-1]
    wanted = math.log(max(l0, 1e-3) / target)
    factor = _FIRST_STEP if wanted > 0 else 1 / _FIRST_STEP
    if len(points) == 2:
        change = math.log(penalty / points[0][0])
        fall = math.log(max(points[0][1], 1e-3) / max(l0, 1e-3))
        if fall * change > 0:
            longest = math.log(_LONGEST_STEP)
            factor = math.exp(min(max(wanted * change / fall, -longest), longest))
    return penalty * factor


def _distance(l0: float, target: float) -> float:
    return abs(math.log(max(l0, 1e-3) / target))
