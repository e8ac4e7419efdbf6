"""What principal and independent components were fitted, how stable they are, and their mean weighted by variance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Num

from autointerp.artifacts import rng_of
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import number, with_interval
from autointerp.metrics.intervals import Interval, Resampling, bootstrapped
from autointerp.records import Pairing, Status
from autointerp.report.markdown import UNKNOWN, escape, table
from autointerp.tables import read_table
from autointerp.train.decompositions import COMPONENTS
from autointerp.units.arms import plain
from autointerp.units.independent import FOUND, RESTARTS, SAMPLE, WHITENED, Independent
from autointerp.units.interface import kind_of
from autointerp.units.principal import Principal

_KINDS = (Principal.name, Independent.name)


def section(outcome: Outcome) -> str:
    """The table of both, or '' in a run without them."""
    path = outcome.run_dir / COMPONENTS
    arms = [arm for arm in outcome.arms if kind_of(arm) in _KINDS]
    if not arms or not path.is_file():
        return ""
    fitted = read_table(path)
    rows, notes = [], []
    for arm in arms:
        row = outcome.row(outcome.headline, arm)
        weighted = weighted_mean(outcome, fitted, arm)
        rows.append([
            escape(plain(arm)), str(len(_of(outcome, fitted, arm))), str(row.n if row else 0),
            UNKNOWN if row is None else with_interval(row.mean, row.low, row.high),
            with_interval(weighted.value, weighted.low, weighted.high),
        ])  # fmt: skip
        if weighted.note:
            notes.append(f"{escape(plain(arm))}, weighted by variance: {escape(weighted.note)}.")
    head = ["arm", "candidates", "scored", "mean", "weighted by variance"]
    words = (
        "Directions fitted to the vectors of the training split at the hook; both orientations are candidates, and one "
        "is chosen on evidence. Every candidate had the same chance to be drawn, and components are not alike: the "
        "first ones hold most of the variance. The last column weights each scored unit by its share of the variance "
        "(bootstrap over units); where a few hold most of it, it is about these few."
    )
    return "\n\n".join(["## PCA and ICA", words, table(head, rows), *notes, *_stability(fitted)])


def _stability(fitted: pd.DataFrame) -> Iterator[str]:
    """Per hook, what ICA found, dropped and found again."""
    of_ica = fitted[fitted["kind"] == Independent.name]
    for hook, rows in of_ica.groupby("hook", sort=False):
        kept = rows[rows["kept"]]
        stable = int((kept["restarts"] == RESTARTS).sum())
        least = f"; their median least |cosine| is {number(kept['similarity'].median())}" if len(kept) else ""
        yield (
            f"ICA at `{escape(str(hook))}`: {stable} of {len(kept)} components were found in all {RESTARTS} restarts "
            f"(|cosine| of {FOUND:g} or more between whitened directions{least}). {len(rows) - len(kept)} of "
            f"{len(rows)} did not converge and were dropped. FastICA, on {int(rows['vectors'].iloc[0]):,} vectors "
            f"(at most {SAMPLE:,}), whitened to {len(rows)} dimensions (at most {WHITENED} for each wanted unit) that "
            f"hold {rows['variance'].sum():.0%} of the variance."
        )


def _of(outcome: Outcome, fitted: pd.DataFrame, arm: str) -> pd.Series:
    """Shares of variance of an arm's candidates, by their numbers."""
    hook = arm.partition(":")[2] or outcome.study.subject.hooks[0]
    rows = fitted[(fitted["kind"] == kind_of(arm)) & (fitted["hook"] == hook) & fitted["kept"]]
    return pd.Series(rows["variance"].to_numpy(), index=rows["component"].to_numpy())


def weighted_mean(outcome: Outcome, fitted: pd.DataFrame, arm: str) -> Interval:
    """Mean score of an arm's components on the headline's cell, each weighted by its share of the variance.

    `fitted` is the table of components. BCa bootstrap over units; without a scored unit None.
    """
    cell, scores = outcome.headline, outcome.scores
    rows = scores[
        (scores["arm"] == arm)
        & (scores["pairing"] == Pairing.OWN.value)
        & (scores["scorer"] == cell.scorer)
        & (scores["metric"] == cell.metric)
        & (scores["slice"] == cell.slice)
        & (scores["status"] == Status.OK.value)
    ]
    if rows.empty:
        return Interval(None)
    numbers = outcome.units.set_index(["unit", "replicate"])["index"]
    chosen = numbers.reindex(pd.MultiIndex.from_frame(rows[["unit", "replicate"]]))
    weights = _of(outcome, fitted, arm).reindex(chosen.to_numpy()).to_numpy(dtype=np.float64)
    values = rows["value"].to_numpy(dtype=np.float64)

    def mean(places: Num[np.ndarray, "*batch unit"], axis: int = -1) -> Any:
        at = places.astype(np.int64)
        return (values * weights)[at].sum(axis=axis) / weights[at].sum(axis=axis)

    plan = Resampling(outcome.study.compare.resamples, outcome.study.compare.confidence)
    rng = rng_of(outcome.study.seed, "weighted by variance", arm)
    return bootstrapped((np.arange(values.size),), mean, plan, rng)
