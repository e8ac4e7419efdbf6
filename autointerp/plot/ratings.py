"""Figure: what raters gave the units of every arm, beside what they gave explanations of other units."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from autointerp.compare.outcome import Outcome
from autointerp.compare.ratings import Rated, models, of_arms, of_decoys, people, plan_of
from autointerp.compare.words import capital, with_interval
from autointerp.metrics.crossed import of_units
from autointerp.metrics.intervals import Interval
from autointerp.plot.style import BAND, INK, QUIET, colour_of, pt
from autointerp.units.arms import plain

_GOLDEN = (5**0.5 - 1) / 2


def ratings(outcome: Outcome) -> Figure | None:
    """A panel for people and one for each model; a row per arm: units as points, their median with its interval.

    The last row has the decoys of all arms, and the grey band their middle half. None in a run that was not rated.
    """
    by_people = people(outcome)
    panels = [("people", by_people), *((each.raters[0], each) for each in models(outcome))]
    shown = [(name, rated) for name, rated in panels if rated is not None]
    if not shown:
        return None
    arms = list(dict.fromkeys(arm for _, rated in shown for arm in rated.arms))
    figure = Figure(figsize=(10.5, 1.9 + 0.55 * (len(arms) + 1)), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, (name, rated) in zip(axes, shown, strict=True):
        _panel(panel, name, rated, arms)
    axes[0].set_yticks(range(len(arms) + 1), [*map(_label, arms), "Decoys of all arms"])
    axes[0].set_ylim(len(arms) + 0.5, -0.65)
    figure.suptitle("Rated blindly: does the explanation fit?", fontsize=pt(12), fontweight="bold")
    confidence = f"{plan_of(outcome).confidence:.0%}"
    figure.legend(
        handles=[
            Line2D([], [], marker="o", linestyle="", color=QUIET, alpha=0.6, markersize=4, label="a unit (mean)"),
            Line2D([], [], marker="D", color=INK, markeredgecolor="white", label=f"median, {confidence} interval"),
            Patch(color=BAND, label="decoys (another unit's explanation):\nmiddle half"),
        ],
        loc="outside lower center", ncols=3, frameon=False, fontsize=pt(8),
    )  # fmt: skip
    return figure


def _label(arm: str) -> str:
    return capital(plain(arm)).replace(" at the ", "\nat the ").replace(" of a ", "\nof a ")


def _panel(panel: Axes, name: str, rated: Rated, arms: list[str]) -> None:
    decoys = of_units(rated.matrix(None, decoys=True))
    if decoys.size:
        panel.axvspan(*np.quantile(decoys, [0.25, 0.75]), color=BAND, linewidth=0, zorder=0)
        _row(panel, len(arms), decoys, of_decoys(rated), QUIET, rated.points)
    for each in of_arms(rated):
        _row(
            panel, arms.index(each.arm), of_units(rated.matrix(each.arm, decoys=False)), each.median,
            colour_of(each.arm), rated.points,
        )  # fmt: skip
    raters = len(rated.raters)
    who = name if name != "people" else "one rater" if raters == 1 else f"{raters} raters"
    panel.set_title(who, loc="left", fontweight="bold", pad=8)
    panel.set_xlim(-0.5, rated.points + 0.5)
    panel.set_xlabel(f"Points of {rated.points}")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _row(
    panel: Axes, place: int, values: Float[np.ndarray, " unit"], median: Interval, colour: str, points: int
) -> None:
    spread = ((np.arange(values.size) + 1) * _GOLDEN % 1 - 0.5) * 0.36
    panel.scatter(np.sort(values), place + spread, s=12, color=colour, alpha=0.5, linewidths=0, zorder=2)
    if median.low is not None and median.high is not None:
        panel.plot([median.low, median.high], [place] * 2, color=INK, linewidth=1.8, zorder=3, solid_capstyle="butt")
    if median.value is not None:
        panel.plot([median.value], [place], marker="D", markersize=6, color=INK, markeredgecolor="white", zorder=4)
    text = f"{with_interval(median.value, median.low, median.high)}   n = {values.size}"
    panel.text(points + 0.5, place - 0.33, text, ha="right", va="center", fontsize=pt(8), color=INK)
