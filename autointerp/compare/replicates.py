"""A run's replicates held together: differences over replicates, and what units and replicates add to the variance.

Units are matched by name. Those that are the same in every replicate are not in the spread of the replicates' means:
their variance is added (`with_units`). Of units that are drawn anew nothing is added, for their spread is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.compare.outcome import Outcome
from autointerp.metrics.intervals import Interval
from autointerp.metrics.variance import (
    Component,
    UnitSpread,
    anova,
    between,
    crossed_components,
    crossed_spread,
    nested_spread,
    nested_units,
    rank_agreement,
    retest,
    with_units,
)
from autointerp.records import Pairing, Status
from autointerp.rows import ALL, NO_BASELINE
from autointerp.study import Study
from autointerp.tables import read_arrow, read_table, write_table
from autointerp.units.arms import baseline_of, feature_hooks, is_feature, ordered
from autointerp.units.features import Features
from autointerp.units.interface import base_id, kind_of
from autointerp.units.noise import NoiseUnits
from autointerp.units.scrambled import ScrambledFeatures, subject_of
from autointerp.variance_rows import VarianceRow

VARIANCE = "variance.parquet"
DRAW, MEAN, REPLICATE, ERROR, UNIT, RESIDUAL, ICC, RANK = (
    "draw", "mean", "replicate", "error", "unit", "residual", "icc", "rank",
)  # fmt: skip
NOTHING = "nothing could be scored in replicate"
UNCHANGED = "the same in every replicate: what was drawn anew changed nothing here"
_CELL = ["scorer", "metric", "slice"]
_ROUNDING = 1e-12
_MATCHED = 0.9
"""Share of an arm's units that must be scored in every replicate before they are taken for the same ones: with fewer,
what is said of the shared ones would stand beside means of others."""


def hold_replicates(study: Study, run: Path, folders: Sequence[Path]) -> None:
    """Write `variance.parquet` of `run` from the tables of its replicates, `folders` (itself first).

    Raises BadInput when a table is missing.
    """
    scores: list[pd.DataFrame] = []
    intervals: dict[tuple[int, str, str, str, str, str], tuple[float | None, float | None]] = {}
    columns = [*_CELL, "unit", "arm", "pairing", "value", "status"]
    arms_of: list[set[str]] = []
    for number, folder in enumerate(folders):
        found = read_table(folder / "scores.parquet", columns)
        arms_of.append(set(found["arm"]))
        found = found[(found["pairing"] == Pairing.OWN.value) & (found["status"] == Status.OK.value)]
        scores.append(found.assign(unit=found["unit"].map(base_id), replicate=number))
        intervals |= {(number, *key): ends for key, ends in _intervals(folder).items()}
    everywhere = set.intersection(*arms_of)
    arms = ordered(arm for arm in arms_of[0] if arm in everywhere or not subject_of(arm))  # no other one's are here
    rows: list[VarianceRow] = []
    for cell, of_cell in pd.concat(scores).groupby(_CELL, sort=False):
        held = _OverReplicates(study, (str(cell[0]), str(cell[1]), str(cell[2])), of_cell, len(folders), intervals)
        rows += held.rows(arms)
    write_table("variance", run / VARIANCE, rows)


def read_variance(outcome: Outcome) -> tuple[VarianceRow, ...]:
    """What the replicates of a run found; nothing where it has one, or they have not been run."""
    path = outcome.run_dir / VARIANCE
    if outcome.study.compare.replicates < 2 or not path.is_file():
        return ()
    return tuple(VarianceRow(**row) for row in read_arrow(path).to_pylist())


def stays(study: Study, arm: str) -> bool:
    """Whether a unit's name means the same unit in every replicate of a study."""
    anew = set(study.compare.redraw)
    if "units" in anew or (study.subject.train is not None and "corpus" in anew):
        return False
    of_sae = kind_of(arm) in (Features.name, NoiseUnits.name, ScrambledFeatures.name)
    return not (of_sae and any(sae.train for sae in study.sae) and anew & {"sae", "corpus"})


Ends = Mapping[tuple[int, str, str, str, str, str], tuple[float | None, float | None]]


def _intervals(folder: Path) -> dict[tuple[str, str, str, str, str], tuple[float | None, float | None]]:
    """Intervals over units, of means and differences, as a replicate's own comparison has them."""
    found = {}
    for row in read_arrow(folder / "comparison.parquet").to_pylist():
        if row["stratum"] == ALL and row["pairing"] == Pairing.OWN.value:
            ends = (row["difference_low"], row["difference_high"]) if row["baseline"] else (row["low"], row["high"])
            found[row["scorer"], row["metric"], row["slice"], row["arm"], row["baseline"]] = ends
    return found


@dataclass(frozen=True)
class _OverReplicates:
    """One cell over all replicates."""

    study: Study
    cell: tuple[str, str, str]
    scores: pd.DataFrame
    """Own explanations that are scored; `unit` without its orientation, `replicate` the number of the draw."""
    replicates: int
    intervals: Ends

    def rows(self, arms: Sequence[str]) -> Iterator[VarianceRow]:
        for arm in arms:
            yield from self._arm(arm)
        hooks = feature_hooks(self.study)
        for arm in filter(is_feature, arms):
            baseline = baseline_of(arm, list(arms), self.study.compare.baseline, hooks)
            if baseline is not None and baseline != arm:
                yield from self._difference(arm, baseline)

    def _draws(self, arm: str) -> list[pd.Series]:
        """Scores by unit in each replicate."""
        of_arm = self.scores[self.scores["arm"] == arm]
        return [of_arm[of_arm["replicate"] == r].set_index("unit")["value"] for r in range(self.replicates)]

    def _arm(self, arm: str) -> Iterator[VarianceRow]:
        draws = self._draws(arm)
        blank = VarianceRow(*self.cell, arm, NO_BASELINE, MEAN, None, None, replicates=self.replicates)
        if (missing := _missing(draws)) is not None:
            yield replace(blank, note=missing)
            return
        means = np.array([values.mean() for values in draws])
        yield from self._each(blank, means, [len(values) for values in draws])
        confidence = self.study.compare.confidence
        together = kept_units(self.study, arm, draws)
        spread = unit_spread(together, draws)
        blank = replace(blank, units=len(together))
        found, _ = with_units(means, [spread] if spread else [], confidence)
        yield replace(blank, value=found.value, low=found.low, high=found.high, note=_note(means, found))
        if spread is not None:
            yield replace(blank, component=ERROR, value=spread.within)
        plain = [values.to_numpy(dtype=np.float64) for values in draws]
        both = anova(together.to_numpy(dtype=np.float64)) if self._same(together, draws) else None
        if both is None:
            yield _of(blank, REPLICATE, between(means, spread.within if spread else 0.0, confidence))
            yield _of(blank, UNIT, nested_units(plain, confidence))
            return
        for name, part in crossed_components(both, confidence).items():
            yield _of(blank, name, part)
        again = retest(both, confidence)
        yield replace(blank, component=ICC, value=again.value, low=again.low, high=again.high, note=again.note)
        yield replace(blank, component=RANK, value=rank_agreement(together.to_numpy(dtype=np.float64)))

    def _difference(self, arm: str, baseline: str) -> Iterator[VarianceRow]:
        first, second = self._draws(arm), self._draws(baseline)
        blank = VarianceRow(*self.cell, arm, baseline, MEAN, None, None, replicates=self.replicates)
        if (missing := _missing(first) or _missing(second)) is not None:
            yield replace(blank, note=missing)
            return
        pairs = zip(first, second, strict=True)
        differences = np.array([own.mean() - other.mean() for own, other in pairs])
        yield from self._each(blank, differences, [len(values) for values in first])
        confidence = self.study.compare.confidence
        of_arms = ((arm, first), (baseline, second))
        spreads = [s for n, d in of_arms if (s := unit_spread(kept_units(self.study, n, d), d)) is not None]
        found, p = with_units(differences, spreads, confidence)
        yield replace(blank, value=found.value, low=found.low, high=found.high, p=p, note=_note(differences, found))
        if len(spreads) == len((arm, baseline)):
            within = sum(spread.within for spread in spreads)
            yield replace(blank, component=ERROR, value=within)
            yield _of(blank, REPLICATE, between(differences, within, confidence))

    def _each(self, blank: VarianceRow, values: np.ndarray, units: Sequence[int]) -> Iterator[VarianceRow]:
        for number, value in enumerate(values):
            low, high = self.intervals.get((number, *self.cell, blank.arm, blank.baseline), (None, None))
            one = replace(blank, component=DRAW, replicate=number, units=units[number], replicates=1)
            yield replace(one, value=float(value), low=low, high=high)

    def _same(self, together: pd.DataFrame, draws: Sequence[pd.Series]) -> bool:
        return len(together) >= _MATCHED * max(len(values) for values in draws)


def kept_units(study: Study, arm: str, draws: Sequence[pd.Series]) -> pd.DataFrame:
    """Units that are the same and scored in every replicate, a row each; none where names mean other units.

    `draws`: scores by unit in each replicate.
    """
    found: pd.DataFrame = pd.concat(draws, axis=1, join="inner")
    return found if stays(study, arm) else found.iloc[:0]


def unit_spread(kept: pd.DataFrame, draws: Sequence[pd.Series]) -> UnitSpread | None:
    """What an arm's units give; of m units that stay among n, the shared part is (m / n)^2 of that of all."""
    apart = nested_spread([values.to_numpy(dtype=np.float64) for values in draws])
    both = crossed_spread(kept.to_numpy(dtype=np.float64))
    if apart is None or both is None:
        return apart
    share = (len(kept) / float(np.mean([len(values) for values in draws]))) ** 2
    squares = tuple((share * part, degrees) for part, degrees in both.squares)
    return UnitSpread(max(0.0, apart.within - share * both.beside), share * both.beside, squares)


def _note(values: np.ndarray, found: Interval) -> str:
    return UNCHANGED if np.ptp(values) <= _ROUNDING else found.note


def _missing(draws: Sequence[pd.Series]) -> str | None:
    empty = [str(number) for number, values in enumerate(draws) if values.empty]
    return f"{NOTHING} {', '.join(empty)}" if empty else None


def _of(blank: VarianceRow, component: str, part: Component) -> VarianceRow:
    return replace(blank, component=component, value=part.variance, low=part.low, high=part.high, note=part.note)
