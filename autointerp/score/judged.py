"""Scores of the judges' answers: a pairing is scored when all its items were answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autointerp.contexts.slices import UnitKey
from autointerp.judge.registry import traits_of
from autointerp.metrics.classification import JUDGED_SCORES, classify
from autointerp.records import Status, Unscored
from autointerp.tables import read_arrow

NOT_JUDGED = Unscored("not judged")
NOT_SHUFFLED = Unscored("no shuffled pairing was judged")
_OWN = -1  # in place of the number of a derangement


@dataclass
class _Pairing:
    """The items of one unit with one explanation."""

    contexts: set[int] = field(default_factory=set)
    truth: list[bool] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    failure: Unscored | None = None
    """Why an item, or the whole pairing, has no answer: the first reason."""

    def score(self, metric: str) -> float | Unscored:
        if self.failure is not None:
            return self.failure
        return classify(metric, np.array(self.truth, dtype=bool), np.array(self.probability, dtype=np.float64))


class Judged:
    """The judgements of a run, read from its `judgements` table."""

    def __init__(self, run_dir: Path) -> None:
        columns = ["unit", "replicate", "judge", "derangement", "context", "truth", "probability", "status", "reason"]
        self._pairings: dict[tuple[UnitKey, str], dict[int, _Pairing]] = defaultdict(lambda: defaultdict(_Pairing))
        items: dict[str, Counter[bool]] = defaultdict(Counter)
        for row in read_arrow(run_dir / "judgements.parquet", columns).to_pylist():
            key = (str(row["unit"]), int(row["replicate"])), str(row["judge"])
            pairing = self._pairings[key][int(row["derangement"])]
            if row["truth"] is not None:
                items[str(row["judge"])][bool(row["truth"])] += 1
                pairing.contexts.add(int(row["context"]))
                pairing.truth.append(bool(row["truth"]))
            if row["status"] == Status.OK.value:
                pairing.probability.append(float(row["probability"]))
            elif pairing.failure is None:
                pairing.failure = Unscored(str(row["reason"]))
        self._share = {judge: found[True] / found.total() for judge, found in items.items()}

    def own(self, unit: UnitKey, judge: str, metric: str) -> float | Unscored:
        """Score with the unit's own explanation."""
        pairing = self._of(unit, judge).get(_OWN)
        return NOT_JUDGED if pairing is None else pairing.score(metric)

    def shuffled(self, unit: UnitKey, judge: str, metric: str) -> float | Unscored:
        """Mean over the derangements that were scored; when none was, the commonest reason."""
        scores = [p.score(metric) for number, p in self._of(unit, judge).items() if number != _OWN]
        values = [score for score in scores if not isinstance(score, Unscored)]
        if values:
            return sum(values) / len(values)
        reasons = Counter(score.reason for score in scores if isinstance(score, Unscored))
        if not reasons:
            return NOT_SHUFFLED
        return Unscored(min(reasons, key=lambda reason: (-reasons[reason], reason)))

    def contexts(self, unit: UnitKey, judge: str) -> int:
        """Number of contexts that the judge was to judge the unit on."""
        return max((len(p.contexts) for p in self._of(unit, judge).values()), default=0)

    def chance(self, judge: str, metric: str) -> float:
        """What knowing nothing scores, by the share of true items among all that the judge was shown.

        Where it was shown none, by the share that it would have been shown.
        """
        share = self._share[judge] if judge in self._share else traits_of(judge).share
        return JUDGED_SCORES[metric].chance(share)

    def _of(self, unit: UnitKey, judge: str) -> dict[int, _Pairing]:
        return self._pairings.get((unit, judge), {})
