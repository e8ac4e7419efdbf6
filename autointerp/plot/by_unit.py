"""Figures with a point for each unit: score against what evidence says of it, own against others' explanations, and
how far a score repeats itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital, metric_words, number
from autointerp.metrics.metrics import score_one
from autointerp.plot.strips import StripReader
from autointerp.plot.style import QUIET, colour_of, pt
from autointerp.records import Pairing, Status
from autointerp.rows import Cell
from autointerp.simulate.lookup import LOOKUP
from autointerp.tables import read_table
from autointerp.units.arms import plain

Pairs: TypeAlias = Float[np.ndarray, "unit 2"]
"""Across and up, of every unit that has both."""
_COVARIATES = {"log_density": "density (share of evidence tokens)", "peak_entropy": "entropy of its peak tokens, bits"}


def scores_of(outcome: Outcome, cell: Cell, arm: str, pairing: Pairing = Pairing.OWN) -> "pd.Series[float]":
    """The scores of an arm's units in a cell, by unit and replicate."""
    rows = outcome.scores
    wanted = {"scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice, "arm": arm, "pairing": pairing.value,
              "status": Status.OK.value}  # fmt: skip
    found = rows.loc[np.logical_and.reduce([rows[column] == value for column, value in wanted.items()])]
    return found.set_index(["unit", "replicate"])["value"].astype(float)


def joined(across: "pd.Series[float]", up: "pd.Series[float]") -> Pairs:
    """The units that have both numbers."""
    both: Pairs = pd.concat([across, up], axis=1, join="inner").dropna().to_numpy(dtype=np.float64)
    return both


def against_evidence(outcome: Outcome) -> Figure | None:
    """Score against density, and against the entropy of peak tokens where that is known; None without covariates."""
    path = outcome.run_dir / "covariates.parquet"
    if not path.is_file():
        return None
    covariates = read_table(path).set_index(["unit", "replicate"])
    panels: dict[str, dict[str, Pairs]] = {}
    for name, words in _COVARIATES.items():
        known = covariates[name].astype(float)
        across = known.map(np.exp) if name == "log_density" else known
        found = {arm: joined(across, scores_of(outcome, outcome.headline, arm)) for arm in outcome.arms}
        if any(len(pairs) for pairs in found.values()):
            panels[words] = found
    if not panels:
        return None
    figure, axes = _panels(len(panels))
    for panel, (words, found) in zip(axes, panels.items(), strict=True):
        _points(panel, found)
        panel.set_xlabel(capital(words))
        if words == _COVARIATES["log_density"]:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter(lambda share, _: f"{share:.2%}" if share < 0.01 else f"{share:.0%}")
    axes[0].set_ylabel(f"{capital(metric_words(outcome.headline.metric))}, own explanation")
    return _finished(figure, axes[0], "Scores against what evidence says of each unit")


def own_against_shuffled(outcome: Outcome) -> Figure | None:
    """Each unit's score with its own explanation above that with another unit's; None where nothing was shuffled."""
    cell = outcome.headline
    found = {
        arm: joined(scores_of(outcome, cell, arm, Pairing.SHUFFLED), scores_of(outcome, cell, arm))
        for arm in outcome.arms
    }
    if not any(len(pairs) for pairs in found.values()):
        return None
    figure, (panel,) = _panels(1)
    _points(panel, found)
    _diagonal(panel, found)
    panel.set_xlabel("with another unit's explanation, a mean over derangements")
    panel.set_ylabel("with its own explanation")
    return _finished(figure, panel, f"Own against others' explanations, per unit ({metric_words(cell.metric)})")


def reliability(outcome: Outcome, reader: StripReader) -> Figure | None:
    """Left: the score on one half of a unit's contexts against the other half; right: against the token table.

    The legend has the correlation of the halves stepped up to all contexts (Spearman 1910, Brown 1910). None without a
    unit that has both halves.
    """
    cell = outcome.headline
    left = {arm: halves(outcome, reader, arm) for arm in outcome.main_arms}
    if not any(len(pairs) > 1 for pairs in left.values()):
        return None
    ceiling = Cell(LOOKUP, cell.metric, cell.slice)
    right = {arm: joined(scores_of(outcome, ceiling, arm), scores_of(outcome, cell, arm)) for arm in outcome.main_arms}
    figure, axes = _panels(2 if outcome.has_lookup else 1)
    _points(axes[0], left, {arm: f"reliability {number(stepped_up(pairs))}" for arm, pairs in left.items()})
    _diagonal(axes[0], left)
    axes[0].set_xlabel("on every other context, from the first")
    axes[0].set_ylabel("on the others")
    if outcome.has_lookup:
        _points(axes[1], right)
        _diagonal(axes[1], right)
        axes[1].set_xlabel("token table, no explanation")
        axes[1].set_ylabel("with its own explanation")
    return _finished(
        figure, axes[0], f"How far scores repeat themselves, and their ceiling ({metric_words(cell.metric)})"
    )


def halves(outcome: Outcome, reader: StripReader, arm: str) -> Pairs:
    """The headline's score of each of an arm's units on either half of its contexts: every other, top ones first."""
    cell, found = outcome.headline, []
    for key in scores_of(outcome, cell, arm).index:
        held, predicted = reader.predicted(key, cell)
        counted = np.ones(held.truth.shape, dtype=bool) if held.counted is None else held.counted
        pair = []
        for start in (0, 1):
            here = counted[start::2]
            score = (
                score_one(cell.metric, held.truth[start::2][here], predicted[start::2][here]) if here.any() else None
            )
            pair.append(score if isinstance(score, float) else np.nan)
        found.append(pair)
    pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
    return pairs[~np.isnan(pairs).any(axis=1)]


def stepped_up(pairs: Pairs) -> float | None:
    """The reliability of the whole from the correlation of its halves, 2 r / (1 + r); None where there is none."""
    if len(pairs) < 3 or not (pairs.std(axis=0) > 0).all():
        return None
    r = float(np.corrcoef(pairs.T)[0, 1])
    return 2 * r / (1 + r) if r > -1 else None


def _panels(number_of: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.2 * number_of + 1.2, 4.6), layout="constrained")
    return figure, list(figure.subplots(1, number_of, squeeze=False)[0])


def _points(panel: Axes, found: Mapping[str, Pairs], told: Mapping[str, str] | None = None) -> None:
    for arm, pairs in found.items():
        label = f"{plain(arm)} ({len(pairs)}{f', {told[arm]}' if told else ''})"
        panel.scatter(pairs[:, 0], pairs[:, 1], s=12, color=colour_of(arm), alpha=0.6, linewidths=0, label=label)
    panel.axhline(0, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)


def _diagonal(panel: Axes, found: Mapping[str, Pairs]) -> None:
    every = np.concatenate(list(found.values()))
    ends = [min(0.0, float(every.min())), max(0.0, float(every.max()))]
    panel.plot(ends, ends, color=QUIET, linewidth=0.9, zorder=0)


def _finished(figure: Figure, named: Axes, title: str) -> Figure:
    figure.suptitle(title, fontsize=pt(12), fontweight="bold")
    handles, labels = named.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=pt(8))
    return figure
