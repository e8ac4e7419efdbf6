"""A row of the comparison table, and the cell of the study that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

ALL = "all"
SINGLE_TOKEN = "single-token"
NOT_SINGLE_TOKEN = "not-single-token"
STRATA = (ALL, SINGLE_TOKEN, NOT_SINGLE_TOKEN)
SINGLE_TOKEN_SHARE = 0.95
"""A unit is single-token when at least this share of its top evidence contexts peaks on one and the same token.

Such units are explained by naming the token; a randomised model has many (Towards Monosemanticity 2023), so a
difference between arms is also given without them.
"""

OWN_SHUFFLED = "shuffled"
"""Baseline of an arm that is held against its own units with another unit's explanation."""
NO_BASELINE = ""


def stratum_of(single_token: float | None) -> str | None:
    """The stratum of a unit beside `all`; None when its share is unknown (the unit never fired)."""
    if single_token is None or single_token != single_token:
        return None
    return SINGLE_TOKEN if single_token >= SINGLE_TOKEN_SHARE else NOT_SINGLE_TOKEN


@dataclass(frozen=True)
class Cell:
    """What is held fixed when arms are compared."""

    scorer: str
    metric: str
    slice: str
    stratum: str = ALL


@dataclass(frozen=True)
class ComparisonRow:
    """A row of the `comparison` table; None is an unknown number.

    With an empty baseline it describes one arm. With a baseline, `n`, `n_baseline`, `difference`... and `note` are of
    the comparison, and the columns from `unscored` to `chance` repeat the arm's own.
    """

    scorer: str
    metric: str
    slice: str
    stratum: str
    pairing: str
    arm: str
    baseline: str
    n: int
    """Scored units of the arm; for the baseline `shuffled`, units scored in both pairings."""
    n_baseline: int | None
    unscored: int
    excluded: int | None
    """Units left out before sampling; known for the stratum `all` only."""
    coverage: float | None
    """n / (n + unscored); None when nothing was sampled."""
    reasons: str
    """Why units are unscored: `reason: count; ...`, the commonest first."""
    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    median_low: float | None
    median_high: float | None
    mean_unscored_at_chance: float | None
    """The mean if every unscored unit had scored what chance gives: the sensitivity to what could not be scored."""
    chance: float
    difference: float | None = None
    """Mean of the arm minus mean of the baseline."""
    difference_low: float | None = None
    difference_high: float | None = None
    superiority: float | None = None
    p: float | None = None
    p_holm: float | None = None
    """Adjusted over every p of the table."""
    note: str = ""

    @property
    def cell(self) -> Cell:
        """What was held fixed."""
        return Cell(self.scorer, self.metric, self.slice, self.stratum)
