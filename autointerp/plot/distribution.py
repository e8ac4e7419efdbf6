"""Figure: the scores of every arm, unit by unit, beside what chance gives and what a word table reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital, metric_words, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.plot.style import BAND, CEILING, INK, QUIET, colour_of, pt
from autointerp.records import Pairing, Status
from autointerp.rows import Cell
from autointerp.simulate.lookup import LOOKUP
from autointerp.units.arms import plain

_GOLDEN = (5**0.5 - 1) / 2


def distribution(outcome: Outcome) -> Figure:
    """One panel per slice, one row per arm: units as points, the arm's mean with its interval over units.

    The grey band holds the middle 95% of the same units scored with another unit's explanation.
    """
    arms = outcome.arms
    figure = Figure(figsize=(10.5, 1.75 + 0.72 * len(arms)), layout="constrained")
    panels = figure.subplots(1, len(outcome.drawn_slices), sharey=True, squeeze=False)[0]
    for panel, slice_name in zip(panels, outcome.drawn_slices, strict=True):
        _panel(panel, outcome, replace(outcome.headline, slice=slice_name), arms)
    panels[0].set_yticks(range(len(arms)), [_label(arm) for arm in arms])
    panels[0].set_ylim(len(arms) - 0.45, -0.62)
    figure.suptitle("How well explanations predict activations on held-out text", fontsize=pt(12), fontweight="bold")
    figure.legend(
        handles=_legend(outcome),
        loc="outside lower center",
        ncols=5 if pt(1) <= 1 else 3,
        frameon=False,
        fontsize=pt(8),
    )
    return figure


def _label(arm: str) -> str:
    words = plain(arm)
    return words.replace(" at the ", "\nat the ").replace(" of the ", "\nof the ").replace(" (", "\n(")


def _panel(panel: Axes, outcome: Outcome, cell: Cell, arms: list[str]) -> None:
    chance = 0.0
    lowest = -0.3
    for position, arm in enumerate(arms):
        own, described = _sorted(outcome, cell, arm)
        lowest = min(lowest, *own, 0.0)
        _shuffled(panel, _values(outcome, cell, arm, Pairing.SHUFFLED), position)
        spread = ((np.arange(own.size) + 1) * _GOLDEN % 1 - 0.5) * 0.42
        _units(panel, own, position + spread, described, colour_of(arm))
        row = outcome.row(cell, arm)
        if row is not None:
            chance = row.chance
            _interval(panel, row.mean, row.low, row.high, float(position), INK, "D")
            shown = with_interval(row.mean, row.low, row.high) if row.n else "no scored unit"
            label = f"{shown}   n = {row.n} of {row.n + row.unscored}"
            panel.text(1.0, position - 0.36, label, transform=panel.get_yaxis_transform(), ha="right", va="center",
                       fontsize=pt(8), color=INK)  # fmt: skip
        ceiling = outcome.row(replace(cell, scorer=LOOKUP), arm) if outcome.has_lookup else None
        if ceiling is not None:
            _interval(panel, ceiling.mean, ceiling.low, ceiling.high, position + 0.34, CEILING, "v")
    panel.axvline(chance, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    panel.set_xlim(lowest - 0.05, 1.04)
    panel.set_title(slice_words(cell.slice), loc="left", fontweight="bold", pad=8)
    panel.set_xlabel(f"{capital(metric_words(cell.metric))} over a unit's pooled tokens")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _sorted(outcome: Outcome, cell: Cell, arm: str) -> tuple[Float[np.ndarray, " unit"], Bool[np.ndarray, " unit"]]:
    """Scores, the lowest first, and which of them are of units whose explanation is a description."""
    rows = _rows(outcome, cell, arm, Pairing.OWN)
    values = rows["value"].to_numpy(dtype=np.float64)
    order = np.argsort(values, kind="stable")
    apart = outcome.has_lists
    described = rows["kind"].to_numpy() == Pairing.DESCRIPTION if apart else np.zeros(len(rows), dtype=bool)
    return values[order], described[order]


def _units(
    panel: Axes, values: Float[np.ndarray, " unit"], places: Float[np.ndarray, " unit"],
    described: Bool[np.ndarray, " unit"], colour: str,
) -> None:  # fmt: skip
    """A point for each unit; a ring where its explanation is a description and not a list."""
    listed = ~described
    panel.scatter(values[listed], places[listed], s=11, color=colour, alpha=0.5, linewidths=0, zorder=2)
    if described.any():
        panel.scatter(
            values[described], places[described], s=13, facecolors="none", edgecolors=colour, linewidths=1.0, zorder=2
        )


def _values(outcome: Outcome, cell: Cell, arm: str, pairing: Pairing) -> Float[np.ndarray, " unit"]:
    return _rows(outcome, cell, arm, pairing)["value"].to_numpy(dtype=np.float64)


def _rows(outcome: Outcome, cell: Cell, arm: str, pairing: Pairing) -> pd.DataFrame:
    scores: pd.DataFrame = outcome.scores
    wanted = {"scorer": cell.scorer, "metric": cell.metric, "slice": cell.slice, "arm": arm, "pairing": pairing.value,
              "status": Status.OK.value}  # fmt: skip
    return scores.loc[np.logical_and.reduce([scores[column] == value for column, value in wanted.items()])]


def _shuffled(panel: Axes, values: Float[np.ndarray, " unit"], place: int) -> None:
    if values.size:
        low, high = np.quantile(values, [0.025, 0.975])
        panel.add_patch(Rectangle((low, place - 0.27), high - low, 0.54, color=BAND, linewidth=0, zorder=0))
        panel.plot([values.mean()] * 2, [place - 0.27, place + 0.27], color=QUIET, linewidth=1.6, zorder=1)


def _interval(
    panel: Axes, mean: float | None, low: float | None, high: float | None, place: float, colour: str, marker: str
) -> None:
    if mean is None:
        return
    if low is not None and high is not None:
        panel.plot([low, high], [place, place], color=colour, linewidth=1.8, zorder=3, solid_capstyle="butt")
    panel.plot([mean], [place], marker=marker, markersize=6, color=colour, markeredgecolor="white", zorder=4)


def _legend(outcome: Outcome) -> list[Line2D | Patch]:
    confidence = f"{outcome.study.compare.confidence:.0%}"
    handles: list[Line2D | Patch] = [
        Line2D([], [], marker="o", linestyle="", color=QUIET, alpha=0.6, markersize=4, label="a unit"),
        Line2D([], [], marker="D", color=INK, markeredgecolor="white", label=f"mean, {confidence} interval over units"),
        Patch(color=BAND, label="with another unit's explanation\n(middle 95% of units; line: mean)"),
        Line2D([], [], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0, label="chance"),
    ]
    if outcome.has_lists and any(outcome.of_kinds(arm)[1] for arm in outcome.arms):
        ring = Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=QUIET, markersize=4.5,
                      label="a unit whose explanation is\na description, not a list")  # fmt: skip
        handles.insert(1, ring)
    if outcome.has_lookup:
        ceiling = "token table, no explanation\n(ceiling for word lists)"
        handles.append(Line2D([], [], marker="v", color=CEILING, markeredgecolor="white", label=ceiling))
    return handles
