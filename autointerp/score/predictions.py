"""What a run's tables say of each unit: explanations, predictions, shuffled scores, judgements; failures are values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.contexts.naming import kind_of
from autointerp.contexts.pairing import OWN
from autointerp.contexts.slices import Held, UnitKey
from autointerp.errors import BadInput
from autointerp.judge.registry import traits_of
from autointerp.metrics.classification import JUDGED_SCORES, classify
from autointerp.records import Pairing, Status, Unscored
from autointerp.tables import BY_KIND, read_arrow, read_table

NO_EXPLANATION = Unscored("no explanation")
NOT_SIMULATED = Unscored("not simulated")
CONTEXT_NOT_SIMULATED = Unscored("a context of the slice was not simulated")
_WHOLE_UNIT = -1  # a failure that names no context stands for all of them

Vector = Float[np.ndarray, " token"]


class Explanations:
    """The chosen explanation of each unit: who wrote it, or why there is none."""

    def __init__(self, run_dir: Path) -> None:
        columns = ["unit", "replicate", "explainer", "text", "status", "reason"]
        self._rows = {
            (str(row["unit"]), int(row["replicate"])): row
            for row in read_arrow(run_dir / "explanations.parquet", columns).to_pylist()
        }

    def explainer(self, unit: UnitKey) -> str:
        """Name of the explainer; '' when nothing was proposed."""
        row = self._rows.get(unit)
        return str(row["explainer"]) if row else ""

    def texts(self, unit: UnitKey) -> tuple[str, ...]:
        """The explanation, if there is one."""
        row = self._rows.get(unit)
        return (str(row["text"]),) if row and row["status"] == Status.OK.value else ()

    def kind(self, unit: UnitKey) -> str:
        """`list` or `description`; '' without an explanation."""
        return "".join(kind_of(text) for text in self.texts(unit))

    def failure(self, unit: UnitKey) -> Unscored | None:
        """Why the unit has no explanation; None when it has one."""
        row = self._rows.get(unit)
        if row is None:
            return NO_EXPLANATION
        return None if row["status"] == Status.OK.value else Unscored(f"no explanation: {row['reason']}")


class Predictions:
    """Predicted activations of the own pairing."""

    def __init__(self, run_dir: Path) -> None:
        columns = ["unit", "replicate", "simulator", "context", "predicted", "status", "reason"]
        self._contexts: dict[tuple[UnitKey, str], dict[int, Vector | Unscored]] = defaultdict(dict)
        frame = read_table(run_dir / "simulations.parquet", columns)
        for unit, replicate, simulator, context, predicted, status, reason in zip(
            *(frame[name] for name in columns), strict=True
        ):
            failed = status != Status.OK.value
            answer = Unscored(str(reason)) if failed else np.asarray(predicted, dtype=np.float32)
            place = _WHOLE_UNIT if pd.isna(context) else int(context)
            self._contexts[(str(unit), int(replicate)), str(simulator)][place] = answer

    def on(self, unit: UnitKey, simulator: str, held: Held) -> Float[np.ndarray, "context token"] | Unscored:
        """Predictions on the contexts of a slice, in their order; Unscored when any of them failed.

        Raises BadInput when a prediction has another number of tokens than the truth.
        """
        known = self._contexts.get((unit, simulator))
        if known is None:
            return NOT_SIMULATED
        rows: list[Vector] = []
        for context in held.contexts:
            answer = known.get(int(context))
            if answer is None:
                whole = [a for a in known.values() if isinstance(a, Unscored)]
                return whole[0] if whole else CONTEXT_NOT_SIMULATED
            if isinstance(answer, Unscored):
                return answer
            rows.append(answer)
        wrong = [len(r) for r in rows if len(r) != held.truth.shape[1]]
        if wrong:
            raise BadInput(
                f"simulations.parquet has {wrong[0]} predictions for {unit[0]} on {held.truth.shape[1]} tokens",
                "remove it and simulate again",
            )
        return np.stack(rows) if rows else np.empty(held.truth.shape, dtype=np.float32)


NOT_JUDGED = Unscored("not judged")
NO_SHUFFLED_VERDICT = Unscored("no shuffled pairing was judged")


@dataclass
class _JudgedPairing:
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
        self._pairings: dict[tuple[UnitKey, str], dict[int, _JudgedPairing]] = defaultdict(
            lambda: defaultdict(_JudgedPairing)
        )
        items: dict[str, Counter[bool]] = defaultdict(Counter)
        for row in read_arrow(run_dir / "judgements.parquet", columns).to_pylist():
            key = (str(row["unit"]), int(row["replicate"])), str(row["judge"])
            pairing = self._pairings[key][int(row["derangement"])]
            if row["truth"] is not None:
                items[str(row["judge"])][bool(row["truth"])] += 1
                if row["context"] is not None:
                    pairing.contexts.add(int(row["context"]))
                pairing.truth.append(bool(row["truth"]))
            if row["status"] == Status.OK.value:
                pairing.probability.append(float(row["probability"]))
            elif pairing.failure is None:
                pairing.failure = Unscored(str(row["reason"]))
        self._share = {judge: found[True] / found.total() for judge, found in items.items()}

    def own(self, unit: UnitKey, judge: str, metric: str) -> float | Unscored:
        """Score with the unit's own explanation."""
        pairing = self._of(unit, judge).get(OWN)
        return NOT_JUDGED if pairing is None else pairing.score(metric)

    def shuffled(self, unit: UnitKey, judge: str, metric: str) -> float | Unscored:
        """Mean over the derangements that were scored; when none was, the commonest reason."""
        scores = [p.score(metric) for number, p in self._of(unit, judge).items() if number != OWN]
        values = [score for score in scores if not isinstance(score, Unscored)]
        reasons = Counter(score.reason for score in scores if isinstance(score, Unscored))
        return _mean(values, reasons, NO_SHUFFLED_VERDICT)

    def contexts(self, unit: UnitKey, judge: str) -> int:
        """Number of contexts that the judge was to judge the unit on."""
        return max((len(p.contexts) for p in self._of(unit, judge).values()), default=0)

    def chance(self, judge: str, metric: str) -> float:
        """What knowing nothing scores, by the share of true items among all that the judge was shown.

        Where it was shown none, by the share that it would have been shown.
        """
        share = self._share[judge] if judge in self._share else traits_of(judge).share
        return JUDGED_SCORES[metric].chance(share)

    def _of(self, unit: UnitKey, judge: str) -> dict[int, _JudgedPairing]:
        return self._pairings.get((unit, judge), {})


ALONE = Unscored("no other unit in the arm")
NOT_SHUFFLED = Unscored("no shuffled pairing was simulated")


class Shuffled:
    """Means over derangements, read from the run's `shuffled` table."""

    def __init__(self, run_dir: Path) -> None:
        columns = ["unit", "replicate", "simulator", "metric", "slice", "value", "status", "reason"]
        self._values: dict[tuple[UnitKey, str, str, str], list[float]] = defaultdict(list)
        self._reasons: dict[tuple[UnitKey, str, str, str], Counter[str]] = defaultdict(Counter)
        for row in read_arrow(run_dir / "shuffled.parquet", columns).to_pylist():
            key = (str(row["unit"]), int(row["replicate"])), row["simulator"], row["metric"], row["slice"]
            if row["status"] == Status.OK.value:
                self._values[key].append(float(row["value"]))
            else:
                self._reasons[key][str(row["reason"])] += 1

    def mean(self, unit: UnitKey, simulator: str, metric: str, slice_name: str) -> float | Unscored:
        """Mean over the derangements that were scored; when none was, the commonest reason."""
        key = (unit, simulator, metric, slice_name)
        return _mean(self._values.get(key, ()), self._reasons.get(key, {}), NOT_SHUFFLED)


def _mean(values: Sequence[float], reasons: Mapping[str, int], nothing: Unscored) -> float | Unscored:
    if values:
        return sum(values) / len(values)
    return Unscored(min(reasons, key=lambda reason: (-reasons[reason], reason))) if reasons else nothing


class ByKind:
    """Scores of the best list and of the best description of each unit, read from the run's table; empty without it."""

    def __init__(self, run_dir: Path) -> None:
        self._found: dict[tuple[UnitKey, str, str, str, str], float | Unscored] = {}
        self._kinds: set[str] = set()
        path = run_dir / BY_KIND
        for row in read_arrow(path).to_pylist() if path.is_file() else ():
            key = (
                (str(row["unit"]), int(row["replicate"])),
                row["simulator"],
                row["pairing"],
                row["metric"],
                row["slice"],
            )
            scored = row["status"] == Status.OK.value
            self._found[key] = float(row["value"]) if scored else Unscored(str(row["reason"]))
            self._kinds.add(row["pairing"])

    @property
    def pairings(self) -> list[Pairing]:
        """The kinds of which any unit has a text."""
        return [pairing for pairing in (Pairing.LIST, Pairing.DESCRIPTION) if pairing in self._kinds]

    def score(self, unit: UnitKey, simulator: str, pairing: Pairing, metric: str, slice_name: str) -> float | Unscored:
        """The score, or why there is none."""
        return self._found.get(
            (unit, simulator, pairing, metric, slice_name), Unscored(f"no {pairing} could be ranked")
        )
