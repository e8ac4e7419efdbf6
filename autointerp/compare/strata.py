"""Strata: which units of an arm are compared apart from the rest: by their tokens, and by the kind of explanation."""

from __future__ import annotations

import pandas as pd

from autointerp.rows import ALL

SINGLE_TOKEN = "single-token"
NOT_SINGLE_TOKEN = "not-single-token"
STRATA = (ALL, SINGLE_TOKEN, NOT_SINGLE_TOKEN)
SINGLE_TOKEN_SHARE = 0.95
"""A unit is single-token when at least this share of its top evidence contexts peaks on one and the same token.

Such units are explained by naming the token; a randomised model has many (Towards Monosemanticity 2023), so a
difference between arms is also given without them.
"""


KINDS = ("list", "description")
"""Units whose explanation is a list of words, and those that have a description: strata where a run has both."""


def within(scores: pd.DataFrame, stratum: str) -> pd.DataFrame:
    """The rows of a stratum; `scores` has the columns `stratum` (by tokens) and, but for old runs, `kind`."""
    if stratum == ALL:
        return scores
    return scores[scores["kind" if stratum in KINDS else "stratum"] == stratum]


def strata_in(scores: pd.DataFrame) -> tuple[str, ...]:
    """The strata that a run has."""
    both = "kind" in scores and set(KINDS) <= set(scores["kind"])
    return (*STRATA, *(KINDS if both else ()))


def stratum_of(single_token: float | None) -> str | None:
    """The stratum of a unit beside `all`; None when its share is unknown (the unit never fired)."""
    if single_token is None or single_token != single_token:
        return None
    return SINGLE_TOKEN if single_token >= SINGLE_TOKEN_SHARE else NOT_SINGLE_TOKEN
