"""Which measure of units tells a subject from one with scrambled weights: every one that the tables hold, tried alike.

Scores by every scorer, metric and slice, of the chosen explanation, the best list and the best description; what an
explanation scores above itself read literally and above the token table; what the evidence alone says of a unit; and
whether a unit could be sampled at all. It is exploratory: many are tried, and many are close kin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from autointerp.compare.covariates import COVARIATES, covariates_of
from autointerp.compare.outcome import answered, headline_of
from autointerp.compare.scrambled import (
    Counterparts,
    Draw,
    Values,
    Welch,
    count,
    counterparts,
    mean_of,
    over_units_alone,
    welch,
)
from autointerp.compare.words import covariate_words, metric_words
from autointerp.contexts.slices import JUDGED, UNLISTED, slice_words
from autointerp.metrics.intervals import holm
from autointerp.records import Pairing, Status
from autointerp.scrambled_rows import MeasureRow
from autointerp.simulate.literal import LITERAL
from autointerp.simulate.lookup import LOOKUP
from autointerp.study import Study
from autointerp.tables import read_table, write_table
from autointerp.train.saes import sae_folder
from autointerp.units.features import Features
from autointerp.units.interface import kind_of
from autointerp.units.neurons import Neurons
from autointerp.units.scrambled import ScrambledFeatures, ScrambledNeurons
from sae.checkpoint import load

MEASURES = "measures.parquet"
"""The table, by path in the run folder."""
OF_EVIDENCE = "evidence"
"""Scorer of what the evidence alone says."""
ELIGIBLE = "eligible"
"""Metric of whether a unit could be sampled."""
FEWEST = 5
"""A measure that fewer units of an arm have is told without interval and test, and is none of those tried."""
TOO_FEW = Welch(None, note=f"fewer than {FEWEST} units of an arm: not tested")
_FEATURES = (Features.name, ScrambledFeatures.name)
_NEURONS = (Neurons.name, ScrambledNeurons.name)
_PAIRINGS = {Pairing.OWN: "", Pairing.LIST: ", best lists", Pairing.DESCRIPTION: ", best descriptions"}
_MINUS = {LITERAL: " minus the same read literally", LOOKUP: " minus the token table", "": ""}


@dataclass(frozen=True)
class Measure:
    """A number for every unit."""

    scorer: str
    metric: str
    slice: str
    pairing: str
    minus: str
    by_arm: Mapping[str, list[Values]]
    """Of the units that have one, draw by draw."""


def measure_all(study: Study, run_dir: Path) -> None:
    """Write `measures.parquet`, from the tables units, evidence, contexts and scores and the SAEs of the run.

    Raises BadInput when a table is missing, and SaeError when an SAE is.
    """
    scores = read_table(run_dir / "scores.parquet")
    every = [*_of_scores(scores), *_above(study, scores), *_of_evidence(run_dir), *_eligible(run_dir)]
    found = [measure for measure in every if any(v.size for draws in measure.by_arm.values() for v in draws)]
    rows: list[MeasureRow] = []
    for each in counterparts(study, set(scores["arm"])):
        if each.scrambled:
            rows += _adjusted([_row(study, each, measure) for measure in found])
    write_table("measures", run_dir / MEASURES, rows)


def by_telling(rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    """The rows, best first at telling trained from scrambled by features minus neurons: by p, unknown ones last."""
    return sorted(rows, key=lambda row: (row.p is None, row.p or 0.0, -abs(row.difference or 0.0)))


def measure_words(row: MeasureRow) -> str:
    """What to call a measure."""
    if row.scorer == OF_EVIDENCE:
        return "share of eligible units" if row.metric == ELIGIBLE else f"{covariate_words(row.metric)}, evidence alone"
    if row.slice == JUDGED:
        score = "AUROC" if row.metric == "auroc" else row.metric.replace("_", " ")
        return f"judge {row.scorer}, {score}{_PAIRINGS[Pairing(row.pairing)]}"
    shown = f"{row.scorer}, {metric_words(row.metric)}, {slice_words(row.slice)}"
    return f"{shown}{_PAIRINGS[Pairing(row.pairing)]}{_MINUS[row.minus]}"


def _by_arm(frame: pd.DataFrame, arms: pd.Series) -> dict[str, list[Values]]:
    """The column `value` by arm and draw; an arm without a value in a draw has an empty one. `arms`: of any row."""
    draws = sorted(frame["replicate"].unique())
    return {
        str(arm): [
            frame.loc[(frame["arm"] == arm) & (frame["replicate"] == draw), "value"].to_numpy(dtype=np.float64)
            for draw in draws
        ]
        for arm in arms.unique()
    }


def _of_scores(scores: pd.DataFrame) -> Iterator[Measure]:
    chosen = scores[scores["pairing"].isin([pairing.value for pairing in _PAIRINGS])]
    columns = ["scorer", "metric", "slice", "pairing"]
    for (scorer, metric, slice_name, pairing), cell in chosen.groupby(columns, sort=False):
        fine = cell[cell["status"] == Status.OK.value]
        yield Measure(str(scorer), str(metric), str(slice_name), str(pairing), "", _by_arm(fine, scores["arm"]))


def _above(study: Study, scores: pd.DataFrame) -> Iterator[Measure]:
    """What the headline's simulator scores, unit by unit, above the same explanations read literally, and the table."""
    scorer, own = headline_of(study).scorer, scores[scores["pairing"] == Pairing.OWN.value]
    for minus in (LITERAL, LOOKUP):
        both = own[own["scorer"].isin([scorer, minus])]
        for (metric, slice_name), cell in both.groupby(["metric", "slice"], sort=False):
            first, second = (answered(cell[cell["scorer"] == name]) for name in (scorer, minus))
            # Read literally an explanation says nothing of tokens that it does not name.
            if minus == scorer or not len(second) or (minus == LITERAL and slice_name == UNLISTED):
                continue
            apart = (first - second).dropna().rename("value").reset_index()
            apart["arm"] = apart["unit"].map(dict(zip(cell["unit"], cell["arm"], strict=True)))
            found = _by_arm(apart, scores["arm"])
            yield Measure(scorer, str(metric), str(slice_name), Pairing.OWN.value, minus, found)


def _of_evidence(run_dir: Path) -> Iterator[Measure]:
    known = pd.DataFrame([vars(row) for row in covariates_of(run_dir)])
    for name in COVARIATES:
        values = known.assign(value=known[name]).dropna(subset="value")
        yield Measure(OF_EVIDENCE, name, "", "", "", _by_arm(values, known["arm"]))


def _eligible(run_dir: Path) -> Iterator[Measure]:
    """1 for every unit of an arm that is active in enough contexts of evidence, drawn or not, and 0 for the others."""
    units = read_table(run_dir / "units.parquet", ["arm", "hook", "sae", "status"])
    saes = {name: load(str(run_dir / sae_folder(name))) for name in units["sae"].unique() if name}
    of_hook = {hook: name for hook, name in zip(units["hook"], units["sae"], strict=True) if name}
    found: dict[str, list[Values]] = {}
    for name, rows in units.groupby("arm", sort=False):
        arm, hook = str(name), rows["hook"].iloc[0]
        if hook in of_hook and kind_of(arm) in _FEATURES + _NEURONS:
            neurons = kind_of(arm) in _NEURONS
            total = saes[of_hook[hook]].d_in if neurons else saes[rows["sae"].iloc[0]].width
            left_out = int((rows["status"] == Status.EXCLUDED.value).sum())
            found[arm] = [np.repeat([1.0, 0.0], [total - left_out, left_out])]
    yield Measure(OF_EVIDENCE, ELIGIBLE, "", "", "", found)


def _row(study: Study, each: Counterparts, measure: Measure) -> MeasureRow:
    features, neurons, both = (
        _sides(measure, each, arms) for arms in (((each.arm,), (0,)), ((each.baseline,), (1,)),
                                                 ((each.arm, each.baseline), (0, 1)))
    )  # fmt: skip
    confidence = study.compare.confidence
    of_features, of_neurons, of_both = (_held(*sides, confidence) for sides in (features, neurons, both))
    note = of_both.note or over_units_alone(len(each.scrambled))
    return MeasureRow(
        arm=each.arm,
        baseline=each.baseline,
        scheme=each.scheme,
        scorer=measure.scorer,
        metric=measure.metric,
        slice=measure.slice,
        pairing=measure.pairing,
        minus=measure.minus,
        features=mean_of(features[0]),
        features_scrambled=mean_of(features[1]),
        features_difference=of_features.value,
        features_low=of_features.low,
        features_high=of_features.high,
        features_p=of_features.p,
        features_p_holm=None,
        neurons=mean_of(neurons[0]),
        neurons_scrambled=mean_of(neurons[1]),
        neurons_difference=of_neurons.value,
        neurons_low=of_neurons.low,
        neurons_high=of_neurons.high,
        difference=of_both.value,
        low=of_both.low,
        high=of_both.high,
        p=of_both.p,
        p_holm=None,
        subjects=len(each.scrambled),
        n_features=count(features[0]),
        n_features_scrambled=count(features[1]),
        n_neurons=count(neurons[0]),
        n_neurons_scrambled=count(neurons[1]),
        note=note,
    )


def _held(own: Sequence[Draw], scrambled: Sequence[Draw], confidence: float) -> Welch:
    """See `welch`; where an arm has few units the difference alone."""
    found = welch(own, scrambled, confidence)
    fewest = min(sum(values.size for values in arm) for side in (own, scrambled) for arm in zip(*side, strict=True))
    return replace(TOO_FEW, value=found.value) if found.value is not None and fewest < FEWEST else found


def _sides(
    measure: Measure, each: Counterparts, arms: tuple[tuple[str, ...], tuple[int, ...]]
) -> tuple[list[Draw], list[Draw]]:
    """The draws in the subject itself and in the scrambled ones. `arms`: there by name, here by place in the pair."""
    own = _draws(measure, arms[0])
    pairs = each.scrambled.values()
    return own, [draw for pair in pairs for draw in _draws(measure, tuple(pair[place] for place in arms[1]))]


def _draws(measure: Measure, arms: Sequence[str]) -> list[Draw]:
    nothing = [np.empty(0)]
    return list(zip(*(measure.by_arm.get(arm, nothing) for arm in arms), strict=True))


def _adjusted(rows: Sequence[MeasureRow]) -> Iterator[MeasureRow]:
    """Holm's adjustment, of the features and of the difference in differences apart."""
    features, both = holm([row.features_p for row in rows]), holm([row.p for row in rows])
    for row, of_features, of_both in zip(rows, features, both, strict=True):
        yield replace(row, features_p_holm=of_features, p_holm=of_both)
