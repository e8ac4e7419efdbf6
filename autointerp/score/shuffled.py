"""The score of each unit with other units' explanations: the mean over the derangements that were scored."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from autointerp.contexts.slices import UnitKey
from autointerp.records import Status, Unscored
from autointerp.tables import read_arrow

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
        values = self._values.get(key)
        if values:
            return sum(values) / len(values)
        reasons = self._reasons.get(key)
        if not reasons:
            return NOT_SHUFFLED
        return Unscored(min(reasons, key=lambda reason: (-reasons[reason], reason)))
