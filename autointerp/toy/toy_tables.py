"""From trained toy models and tried SAEs to rows, and from rows to means with intervals over models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from autointerp.artifacts import rng_of
from autointerp.metrics.intervals import EQUAL, Interval, Resampling, mean_interval
from autointerp.toy.geometry import dimensions, geometry_of, groups, represented
from autointerp.toy.toy_models import ToyModels
from autointerp.toy.trying_saes import SaeFigures
from autointerp.toy_rows import ToyFeatureRow, ToyRow

PLAN = Resampling(resamples=2000, confidence=0.95)
RELU, LINEAR, UNTRAINED_MODEL = "relu", "linear", "untrained"
EXACT = "the same in every model: exact bounds, features taken for independent"
RECOVERY_MEASURES = ("recovered", "nearest", "cosine", "f1", "correlation", "other", "again")
_SHARES = ("recovered", "overlapping", "agreement")
_SCALES = {
    **dict.fromkeys((*_SHARES, "f1", "dimensions"), (0.0, 1.0)),
    **dict.fromkeys(("nearest", "cosine", "latents", "correlation", "other", "again"), (-1.0, 1.0)),
}
"""The least and the greatest value, where there is one."""


def feature_rows(part: str, toys: ToyModels, untrained: bool = False) -> Iterator[ToyFeatureRow]:
    """A row per feature of every model."""
    for place, spec in enumerate(toys.specs):
        weights = toys.weights[place].numpy()
        own, kept, geometry = dimensions(weights), represented(weights), geometry_of(weights)
        for feature, importance in enumerate(spec.importance):
            yield ToyFeatureRow(
                part=part, model=UNTRAINED_MODEL if untrained else LINEAR if spec.linear else RELU,
                density=spec.density, seed=spec.seed, feature=feature, importance=importance,
                direction=tuple(map(float, weights[:, feature])), bias=float(toys.bias[place, feature]),
                represented=bool(kept[feature]), dimensions=float(own[feature]), geometry=geometry,
                loss=None if untrained else float(toys.loss[place]),
            )  # fmt: skip


def weights_of(model: pd.DataFrame) -> np.ndarray:
    """W [hidden, feature] of the rows of one model."""
    return np.array(model.sort_values("feature")["direction"].tolist(), dtype=np.float64).T


def _represented(weights: np.ndarray) -> float:
    return float(represented(weights).sum())


def _overlapping(weights: np.ndarray) -> float | None:
    found = groups(weights)
    together = sum(len(group) for group in found if len(group) > 1)
    return together / sum(map(len, found)) if found else None


def _dimensions(weights: np.ndarray) -> float | None:
    kept = represented(weights)
    return float(dimensions(weights)[kept].mean()) if kept.any() else None


def _per_feature(weights: np.ndarray) -> float:
    return float(weights.shape[0] / np.square(weights).sum())


_OF_MODELS: dict[str, Callable[[np.ndarray], float | None]] = {
    "represented": _represented, "overlapping": _overlapping, "dimensions": _dimensions, "per feature": _per_feature,
}  # fmt: skip


def model_summaries(features: pd.DataFrame) -> Iterator[ToyRow]:
    """What models of one part, kind and density have in common: means over seeds."""
    for (part, model, density), found in features.groupby(["part", "model", "density"], sort=False):
        matrices = [weights_of(one) for _, one in found.groupby("seed")]
        for measure, of in _OF_MODELS.items():
            values = [value for value in map(of, matrices) if value is not None]
            yield _row(str(part), str(model), "", float(str(density)), measure, values, len(found))


def phase_summaries(phases: pd.DataFrame) -> Iterator[ToyRow]:
    """How often training ends where theory says, over seeds; the null is its commonest solution everywhere."""
    agree = phases.assign(agreement=phases["found"] == phases["theory"])
    per_seed = agree.groupby("seed")["agreement"].mean()
    yield _row("phases", RELU, "", None, "agreement", per_seed.tolist(), len(phases))
    best = agree.loc[phases.groupby(["density", "ratio"])["loss"].idxmin(), "agreement"]
    bounds = binomtest(int(best.sum()), len(best)).proportion_ci(PLAN.confidence)
    yield ToyRow(
        "phases", "least loss of the seeds", "", None, "agreement", float(best.mean()), float(bounds.low),
        float(bounds.high), per_seed.size, len(best), "exact bounds over cells, taken for independent",
    )  # fmt: skip
    commonest = phases["theory"].mode()[0]
    same = phases.assign(agreement=phases["found"] == commonest).groupby("seed")["agreement"].mean()
    yield _row("phases", f"always {commonest}", "", None, "agreement", same.tolist(), len(phases))


def recovery_summaries(recovery: pd.DataFrame, figures: Sequence[SaeFigures]) -> Iterator[ToyRow]:
    """Means over features, then over toy models, which are what the intervals are over."""
    for (toy, method), found in recovery.groupby(["toy", "method"], sort=False):
        for measure in RECOVERY_MEASURES:
            known = found.assign(value=pd.to_numeric(found[measure]).astype(float)).dropna(subset=["value"])
            if known.empty:
                continue
            of_toys = known.groupby("seed")["value"].mean().tolist()
            yield _row("recovery", str(method), str(toy), None, measure, of_toys, len(known))
    for name, toy in dict.fromkeys((each.method, each.toy) for each in figures):
        of = [each for each in figures if (each.method, each.toy) == (name, toy)]
        for measure in ("latents", "l0", "fvu"):
            pairs = [(each.seed, getattr(each, measure)) for each in of if getattr(each, measure) is not None]
            means = [float(np.mean([v for s, v in pairs if s == seed])) for seed in dict.fromkeys(s for s, _ in pairs)]
            yield _row("recovery", name, toy, None, measure, means, sum(each.alive for each in of))


def _row(
    part: str, what: str, toy: str, density: float | None, measure: str, values: Sequence[float], features: int
) -> ToyRow:
    found = _interval(measure, np.array(values, dtype=np.float64), features, (part, what, toy, str(density)))
    return ToyRow(
        part=part, what=what, toy=toy, density=density, measure=measure, value=found.value, low=found.low,
        high=found.high, n=len(values), features=features, note=found.note,
    )  # fmt: skip


def _interval(measure: str, values: np.ndarray, features: int, names: Sequence[str]) -> Interval:
    scale = _SCALES.get(measure, (-np.inf, np.inf))
    found = mean_interval(values, PLAN, rng_of(0, "toy", measure, *names), scale)
    if found.note == EQUAL and found.value in (0.0, 1.0) and measure in _SHARES:
        bounds = binomtest(round(found.value * features), features).proportion_ci(PLAN.confidence)
        return replace(found, low=float(bounds.low), high=float(bounds.high), note=EXACT)
    return found
