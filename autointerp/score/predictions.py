"""The predictions of a run, by unit and simulator, with their failures as values."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.contexts.slices import Held, UnitKey
from autointerp.errors import BadInput
from autointerp.records import Status, Unscored
from autointerp.tables import read_arrow, read_table

LOOKUP = "lookup"
"""The simulator that uses no explanation (so it has no shuffled pairing)."""
NO_EXPLANATION = Unscored("no explanation")
NOT_SIMULATED = Unscored("not simulated")
CONTEXT_NOT_SIMULATED = Unscored("a context of the slice was not simulated")
_WHOLE_UNIT = -1  # a failure that names no context stands for all of them

Vector = Float[np.ndarray, " token"]


class Explanations:
    """The chosen explanation of each unit: who wrote it, or why there is none."""

    def __init__(self, run_dir: Path) -> None:
        columns = ["unit", "replicate", "explainer", "status", "reason"]
        self._rows = {
            (str(row["unit"]), int(row["replicate"])): row
            for row in read_arrow(run_dir / "explanations.parquet", columns).to_pylist()
        }

    def explainer(self, unit: UnitKey) -> str:
        """Name of the explainer; '' when nothing was proposed."""
        row = self._rows.get(unit)
        return str(row["explainer"]) if row else ""

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
