"""What raters gave the units of every arm, beside what they gave explanations of other units; people and models apart.

Nothing is computed over people and a model together but how their ranks agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from autointerp.artifacts import rng_of
from autointerp.compare.outcome import Outcome
from autointerp.metrics.alpha import alpha_interval
from autointerp.metrics.crossed import (
    crossed_interval,
    median_difference,
    median_over,
    of_units,
    rank_correlation,
    superiority,
)
from autointerp.metrics.intervals import Interval, Resampling
from autointerp.rating_rows import HUMAN, LOGITS, MODEL, POINTS
from autointerp.records import Pairing, Status
from autointerp.tables import read_table
from autointerp.units.arms import ordered

TABLE = "ratings.parquet"
_ITEM = ["unit", "explanation_of", "arm"]
TOTAL = "total"


@dataclass(frozen=True)
class NotCounted:
    """Ratings that are in the table and are not counted."""

    skipped: int
    """Passed over by the rater, or without an answer that could be read."""
    stale: int
    """Of an explanation that the run no longer has."""
    other_points: int
    """By the rubric with or without promoted tokens, where most are by the other."""


@dataclass(frozen=True)
class Rated:
    """The ratings of some raters of one kind."""

    outcome: Outcome
    raters: tuple[str, ...]
    points: int
    """The most that a total can be."""
    frame: pd.DataFrame
    """The rows that count."""
    left_out: NotCounted

    @cached_property
    def items(self) -> pd.DataFrame:
        """unit, explanation_of, arm of all rated items, each once."""
        found: pd.DataFrame = self.frame[_ITEM].drop_duplicates().sort_values(_ITEM).reset_index(drop=True)
        return found

    @property
    def arms(self) -> list[str]:
        """Arms with a rated unit, features first."""
        return ordered(self.items["arm"])

    @property
    def parts(self) -> list[str]:
        """The parts that were rated."""
        return [part for part in POINTS if part != LOGITS or self.points == sum(POINTS.values())]

    def matrix(self, arm: str | None, *, decoys: bool | None, part: str = TOTAL) -> Float[np.ndarray, "unit rater"]:
        """What each rater gave each item, NaN where nothing. `arm`: None for all; `decoys`: None for both sorts."""
        items = self.items
        chosen = np.ones(len(items), dtype=bool) if arm is None else (items["arm"] == arm).to_numpy()
        if decoys is not None:
            chosen = chosen & ((items["unit"] != items["explanation_of"]).to_numpy() == decoys)
        given = self.frame.pivot_table(index=_ITEM, columns="rater", values=part, aggfunc="mean", dropna=False)
        given = given.reindex(index=pd.MultiIndex.from_frame(items.loc[chosen, _ITEM]), columns=list(self.raters))
        return given.to_numpy(dtype=np.float64)

    def of_unit(self) -> pd.Series:
        """Mean total of each unit with its own explanation, by unit."""
        own = self.items[self.items["unit"] == self.items["explanation_of"]]
        return pd.Series(of_units(self.matrix(None, decoys=False)), index=own["unit"])

    @property
    def seconds(self) -> float | None:
        """Median time for an item; None for models."""
        times = self.frame["seconds"].dropna()
        return float(times.median()) if len(times) else None


def people(outcome: Outcome) -> Rated | None:
    """What people gave, all of them together; None in a run that nobody rated."""
    return _rated(outcome, _table(outcome, HUMAN))


def models(outcome: Outcome) -> list[Rated]:
    """What models gave, each for itself."""
    table = _table(outcome, MODEL)
    found = [_rated(outcome, table[table["rater"] == name]) for name in sorted(set(table["rater"]))]
    return [each for each in found if each is not None]


def _table(outcome: Outcome, kind: str) -> pd.DataFrame:
    path = outcome.run_dir / TABLE
    if not path.is_file():
        return pd.DataFrame(columns=["rater_kind", "rater"])
    table = read_table(path)
    found: pd.DataFrame = table[table["rater_kind"] == kind]
    return found


def _rated(outcome: Outcome, table: pd.DataFrame) -> Rated | None:
    """The rows that count; None where there are none."""
    if table.empty:
        return None
    texts = read_table(outcome.run_dir / "explanations.parquet", ["unit", "text"]).set_index("unit")["text"].to_dict()
    fresh = np.array(
        [texts.get(unit) == text for unit, text in zip(table["explanation_of"], table["text"], strict=True)]
    )
    answered = (table["status"] == Status.OK.value).to_numpy()
    usable = table[fresh & answered]
    if usable.empty:
        return None
    points = int(usable["points"].value_counts().index[0])
    counted = usable[usable["points"] == points]
    left_out = NotCounted(int((~answered).sum()), int((answered & ~fresh).sum()), len(usable) - len(counted))
    return Rated(outcome, tuple(sorted(set(counted["rater"]))), points, counted, left_out)


@dataclass(frozen=True)
class ArmRatings:
    """An arm's units with their own explanations."""

    arm: str
    median: Interval
    quartiles: tuple[float, float]
    """First and third, over units."""
    above_decoys: Interval
    """P(a unit is given more than a decoy of any arm)."""
    units: int
    parts: Mapping[str, float]
    """Part -> mean over units."""


@dataclass(frozen=True)
class ArmContrast:
    """Features less another arm."""

    arm: str
    baseline: str
    difference: Interval
    """Of the medians."""
    superiority: Interval
    units: tuple[int, int]


def plan_of(outcome: Outcome) -> Resampling:
    """How the run's intervals are made."""
    return Resampling(outcome.study.compare.resamples, outcome.study.compare.confidence)


def of_arms(rated: Rated) -> list[ArmRatings]:
    """Every arm that has a unit with its own explanation among the rated items."""
    plan, decoys = plan_of(rated.outcome), rated.matrix(None, decoys=True)
    found = []
    for arm in rated.arms:
        own = rated.matrix(arm, decoys=False)
        if not own.size:
            continue
        rng = rng_of(rated.outcome.study.seed, "ratings", arm, *rated.raters)
        low, high = np.quantile(of_units(own), [0.25, 0.75])
        found.append(
            ArmRatings(
                arm, crossed_interval([own], median_over, plan, rng), (float(low), float(high)),
                crossed_interval([own, decoys], superiority, plan, rng), len(own),
                {part: float(of_units(rated.matrix(arm, decoys=False, part=part)).mean()) for part in rated.parts},
            )
        )  # fmt: skip
    return found


def of_decoys(rated: Rated) -> Interval:
    """Median of the items that show another unit's explanation, of all arms: what the rubric gives by chance."""
    rng = rng_of(rated.outcome.study.seed, "ratings of decoys", *rated.raters)
    return crossed_interval([rated.matrix(None, decoys=True)], median_over, plan_of(rated.outcome), rng)


def contrasts(rated: Rated) -> list[ArmContrast]:
    """Every feature arm less every other arm with rated units."""
    plan = plan_of(rated.outcome)
    arms = [each for each in rated.arms if rated.matrix(each, decoys=False).size]
    found = []
    for arm in (each for each in arms if each in rated.outcome.feature_arms):
        for other in arms:
            if other == arm:
                continue
            both = [rated.matrix(each, decoys=False) for each in (arm, other)]
            rng = rng_of(rated.outcome.study.seed, "ratings", arm, other, *rated.raters)
            found.append(
                ArmContrast(
                    arm, other, crossed_interval(both, median_difference, plan, rng),
                    crossed_interval(both, superiority, plan, rng), (len(both[0]), len(both[1])),
                )
            )  # fmt: skip
    return found


def agreement(rated: Rated) -> dict[str, Interval]:
    """Krippendorff's alpha of the total and of every part, over all rated items, decoys included."""
    plan = plan_of(rated.outcome)
    return {
        part: alpha_interval(
            rated.matrix(None, decoys=None, part=part), plan, rng_of(rated.outcome.study.seed, "alpha", part)
        )
        for part in (TOTAL, *rated.parts)
    }


def scores_of(outcome: Outcome) -> pd.Series:
    """The headline score of each unit's own explanation, by unit."""
    cell, scores = outcome.headline, outcome.scores
    wanted = {"scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice, "pairing": Pairing.OWN.value,
              "status": Status.OK.value, "replicate": 0}  # fmt: skip
    rows = scores[np.logical_and.reduce([scores[column] == value for column, value in wanted.items()])]
    return rows.set_index("unit")["value"]


def ranks_agree(first: pd.Series, second: pd.Series, outcome: Outcome, name: Sequence[str]) -> tuple[Interval, int]:
    """Spearman's correlation over the units that have both, and how many these are."""
    both = pd.concat([first, second], axis=1, join="inner").dropna().to_numpy(dtype=np.float64)
    rng = rng_of(outcome.study.seed, "ranks of ratings", *name)
    return rank_correlation(both[:, 0], both[:, 1], plan_of(outcome), rng), len(both)
