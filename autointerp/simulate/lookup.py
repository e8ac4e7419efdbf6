"""`lookup`: no explanation and no language model, only the unit's token table from the evidence.

A ceiling for explanations that only name tokens, and the measure of how far a token alone determines a unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autointerp.collect.token_table import TokenTable
from autointerp.records import Context, Scale, Simulation

LOOKUP = "lookup"
"""The simulator that reads no explanation, and so has no shuffled pairing: reported beside the others."""


class Lookup:
    """Predicts each token's mean activation over the evidence; an unseen token gets the unit's overall mean."""

    def __init__(self, table: TokenTable) -> None:
        self._order = np.argsort(table.tokens)
        self._tokens = table.tokens[self._order]
        self._table = table

    def predict(self, unit: int, contexts: Sequence[Context]) -> Simulation:
        """Predictions for the `unit`-th unit of the table's arm."""
        tokens = np.stack([c.tokens for c in contexts])
        places = np.searchsorted(self._tokens, tokens).clip(max=len(self._tokens) - 1)
        known = self._tokens[places] == tokens
        means = self._table.means[self._order[places], unit]
        return Simulation(np.where(known, means, self._table.overall[unit]).astype(np.float32), Scale.OWN)
