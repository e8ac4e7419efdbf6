"""What one scorer made of all pairings, and how far two scorers agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from methods.serving import Served


@dataclass(frozen=True)
class Scored:
    """One pairing."""

    score: float | None
    """None: no score, for a reason."""
    reason: str = ""
    values: Mapping[str, float] | None = None
    """By the place of a token, or the text of a context; None without a prediction. What has none is left out."""
    hidden: int = 0
    """Failures that don't show in the score's being there: values that were made up, or items that were dropped."""


@dataclass(frozen=True)
class Outcome:
    """One scorer on all pairings, in their order."""

    scorer: str
    pairings: tuple[Scored, ...]
    served: Served
    """What the server counted."""
    seconds: float

    @property
    def scored(self) -> int:
        """Pairings with a score."""
        return sum(one.score is not None for one in self.pairings)

    @property
    def hidden(self) -> int:
        """Hidden failures of pairings with a score."""
        return sum(one.hidden for one in self.pairings if one.score is not None)

    @property
    def reasons(self) -> dict[str, int]:
        """Why pairings have no score, and how many."""
        return dict(Counter(one.reason for one in self.pairings if one.score is None))

    def only(self, keys: Sequence[Set[str]], what: str) -> Outcome:
        """The same with these values of each pairing alone, and a name that says so."""
        kept = [
            replace(one, values={key: value for key, value in (one.values or {}).items() if key in wanted})
            for one, wanted in zip(self.pairings, keys, strict=True)
        ]
        return replace(self, scorer=f"{self.scorer}, {what}", pairings=tuple(kept))


@dataclass(frozen=True)
class Agreement:
    """Two scorers on the pairings that both scored."""

    first: str
    second: str
    n: int
    correlation: float | None
    """Of their scores; None where one of them gives the same score to all."""
    difference: float | None
    """Mean absolute one, of the scores."""
    values_n: int
    values_correlation: float | None
    """Of their predictions, all pairings together: per token, or per item."""
    values_difference: float | None
    """Mean absolute one, of the same."""


def agreement(first: Outcome, second: Outcome) -> Agreement:
    """How far two scorers of the same pairings agree."""
    pairs = list(zip(first.pairings, second.pairings, strict=True))
    scores = [(a.score, b.score) for a, b in pairs if a.score is not None and b.score is not None]
    values = [
        (a.values[key], b.values[key]) for a, b in pairs if a.values and b.values for key in a.values if key in b.values
    ]
    return Agreement(
        first.scorer,
        second.scorer,
        len(scores),
        _correlation(scores),
        _difference(scores),
        len(values),
        _correlation(values),
        _difference(values),
    )


@dataclass(frozen=True)
class Preference:
    """How often one scorer puts a unit's own explanation above another unit's; a tie counts half."""

    scorer: str
    n: int
    """Units of which it scored both."""
    auroc: float | None
    """Over those units: 0.5 is chance. None without one."""
    over_all: float
    """The same over all units, 0.5 for one that was not scored with both."""


def preference(outcome: Outcome, units: Sequence[str], own: Sequence[bool]) -> Preference:
    """`units` and `own`: of each pairing, the unit, and whether the explanation is its own."""
    scores = {key: one.score for key, one in zip(zip(units, own, strict=True), outcome.pairings, strict=True)}
    wins = [_win(scores.get((unit, True)), scores.get((unit, False))) for unit in dict.fromkeys(units)]
    told = [win for win in wins if win is not None]
    over_all = float(np.mean([0.5 if win is None else win for win in wins]))
    return Preference(outcome.scorer, len(told), float(np.mean(told)) if told else None, over_all)


def _win(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return 1.0 if first > second else 0.5 if first == second else 0.0


def _difference(pairs: Sequence[tuple[float, float]]) -> float | None:
    return float(np.mean([abs(a - b) for a, b in pairs])) if pairs else None


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    if len(pairs) < 2:
        return None
    first, second = np.array(pairs, dtype=np.float64).T
    return float(np.corrcoef(first, second)[0, 1]) if np.ptp(first) > 0 and np.ptp(second) > 0 else None
