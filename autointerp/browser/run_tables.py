"""What the pages read of a run folder: its tables, those that may be missing included."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.collect.relations import HISTOGRAMS, RELATIONS, SURVEY
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.contexts.reading import load_contexts
from autointerp.llm.ledger.ledger import FILE_NAME, open_ledger
from autointerp.llm.request import Failure
from autointerp.records import Context, Pairing
from autointerp.tables import EFFECTS, PROPOSALS, SCHEMAS, read_table

_SHOWN_RANDOM = 20
"""Random held-out contexts of a unit that its page shows at most."""


class RunTables:
    """One run, as its pages see it. Raises BadInput for a folder that is no finished run."""

    def __init__(self, run: Path, related: bool = True) -> None:
        """`related`: whether the tables about units beside others are current; else they are not read."""
        self.run, self._related = run, related
        self.outcome: Outcome = read_outcome(run)
        self.explanations = read_table(run / "explanations.parquet").set_index("unit")

    def _optional(self, path: str, schema: str) -> pd.DataFrame:
        if (self.run / path).is_file():
            return read_table(self.run / path)
        return pd.DataFrame({name: pd.Series(dtype="object") for name in SCHEMAS[schema].names})

    @property
    def units(self) -> pd.DataFrame:
        """The drawn and the excluded ones."""
        return self.outcome.units

    @cached_property
    def sampled(self) -> list[str]:
        """Units that have a page: all that were to be explained, in the order of the table."""
        return [str(unit) for unit in self.units["unit"] if unit in self.explanations.index]

    @cached_property
    def proposals(self) -> pd.DataFrame:
        """Every candidate, in the orientation that was chosen and the other."""
        return self._optional(PROPOSALS, "proposals")

    @cached_property
    def effects(self) -> pd.DataFrame:
        """By unit; empty in a published run."""
        return self._optional(EFFECTS, "effects").set_index("unit")

    @cached_property
    def covariates(self) -> pd.DataFrame:
        """By unit."""
        return self._optional("covariates.parquet", "covariates").set_index("unit")

    @cached_property
    def shuffled(self) -> pd.DataFrame:
        """Scores with other units' explanations."""
        return self._optional("shuffled.parquet", "shuffled")

    @cached_property
    def judgements(self) -> pd.DataFrame:
        """What judges said of the unit's own explanation."""
        found = self._optional("judgements.parquet", "judgements")
        return found[found["unit"] == found["explanation_of"]]

    @cached_property
    def survey(self) -> pd.DataFrame:
        """All features and neurons; empty where they were not surveyed for the pages."""
        return self._optional(SURVEY if self._related else "", "survey")

    @cached_property
    def histograms(self) -> pd.DataFrame:
        """By unit."""
        return self._optional(HISTOGRAMS if self._related else "", "histograms").set_index("unit")

    @cached_property
    def relations(self) -> pd.DataFrame:
        """Which units are near which."""
        return self._optional(RELATIONS if self._related else "", "relations")

    @cached_property
    def splits(self) -> "pd.Series[str]":
        """The split of every context."""
        rows = read_table(self.run / "contexts.parquet", ["context", "split"])
        return rows.set_index("context")["split"]

    @cached_property
    def exemplars(self) -> pd.DataFrame:
        """Contexts of units that pages show, with their split: all but the random ones that only explainers saw."""
        rows = read_table(self.run / "evidence.parquet")
        rows["split"] = rows["context"].map(self.splits)
        random = rows["kind"] == "random"
        place = rows.groupby(["unit", "split", "kind"], sort=False).cumcount()
        shown = ~random | ((rows["split"] == "held-out") & (place < _SHOWN_RANDOM))
        return rows[shown & (rows["split"] != "calibration")]

    @cached_property
    def population(self) -> dict[str, int]:
        """Contexts per split."""
        return {str(split): int(count) for split, count in self.splits.value_counts().items()}

    @cached_property
    def predicted(self) -> pd.DataFrame:
        """The headline simulator's predictions, by unit and context."""
        rows = read_table(self.run / "simulations.parquet")
        own = rows[(rows["simulator"] == self.outcome.headline.scorer) & (rows["replicate"] == 0)]
        return own.drop_duplicates(["unit", "context"]).set_index(["unit", "context"])

    @cached_property
    def contexts(self) -> dict[int, Context]:
        """The contexts that pages show, by id."""
        return load_contexts(self.run / "contexts.parquet", self.exemplars["context"].unique().tolist())

    @cached_property
    def headline_scores(self) -> pd.DataFrame:
        """Rows of `scores` in the headline's metric and contexts: scorer and pairing remain."""
        scores, cell = self.outcome.scores, self.outcome.headline
        return scores[(scores["metric"] == cell.metric) & (scores["slice"] == cell.slice) & (scores["replicate"] == 0)]

    def of(self, scorer: str, pairing: Pairing = Pairing.OWN) -> pd.DataFrame:
        """The headline's score of every unit by a scorer and pairing, by unit."""
        rows = self.headline_scores
        return rows[(rows["scorer"] == scorer) & (rows["pairing"] == pairing.value)].set_index("unit")

    def unreadable(self, requests: set[str]) -> dict[str, str]:
        """What stood in the answers to these requests that came to nothing, by request; those in the ledger here."""
        path = self.run / FILE_NAME
        if not requests or not path.is_file():
            return {}
        with open_ledger(path) as ledger:
            found = {request: ledger.find(request) for request in sorted(requests)}
        return {
            request: (answer.partial or answer.reason) if isinstance(answer, Failure) else answer.text
            for request, answer in found.items()
            if answer is not None
        }

    def value(self, frame: pd.DataFrame, unit: str, column: str) -> Any:
        """A cell by unit; None where there is no such row or no number."""
        if unit not in frame.index:
            return None
        found = frame.at[unit, column]
        return None if isinstance(found, float) and pd.isna(found) else found
