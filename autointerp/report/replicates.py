"""What is said of replicates: what one of them leaves open, and what several found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autointerp.compare.outcome import Outcome
from autointerp.metrics.variance import covered
from autointerp.records import Pairing, Status
from autointerp.rows import ComparisonRow
from autointerp.units.arms import plain

_SPREADS = (0.02, 0.04, 0.06)
"""Standard deviations between replicates for which a run of one says what its interval covers."""


def sentences(outcome: Outcome) -> Iterator[str]:
    """For the answer: of one replicate, how often the interval of its differences would cover if replicates varied."""
    found = []
    for arm in outcome.feature_arms:
        row = outcome.against_baseline(outcome.headline, arm)
        error = None if row is None or arm == row.baseline else _error_of_units(outcome, row)
        if row is not None and error:
            shares = [f"{covered(error, spread, outcome.study.compare.confidence):.0%}" for spread in _SPREADS]
            found.append(f"that of {plain(arm)} minus {plain(row.baseline)} covers {' / '.join(shares)}")
    if found:
        spreads = " / ".join(f"{spread:g}" for spread in _SPREADS)
        yield (
            "One replicate: the interval is over units alone. If the difference varies between replicates (another "
            f"text, SAE, draw of units or explanation) with a standard deviation of {spreads}, {'; '.join(found)} "
            f"instead of {outcome.study.compare.confidence:.0%}."
        )


def _error_of_units(outcome: Outcome, row: ComparisonRow) -> float | None:
    """Standard error of a difference of two arms over their units; None where an arm has one unit or nothing varies."""
    cell, scores = row.cell, outcome.scores
    chosen = (scores["scorer"] == cell.scorer) & (scores["metric"] == cell.metric) & (scores["slice"] == cell.slice)
    scored = scores[chosen & (scores["pairing"] == Pairing.OWN.value) & (scores["status"] == Status.OK.value)]
    arms = [scored.loc[scored["arm"] == arm, "value"].to_numpy(dtype=np.float64) for arm in (row.arm, row.baseline)]
    if any(values.size < 2 for values in arms):
        return None
    return float(np.sqrt(sum(values.var(ddof=1) / values.size for values in arms))) or None
