"""Figure: how faithful the model's own accounts are, beside occlusion, LIME and what knows nothing."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autointerp.plot.style import BAND, INK, PREDICTED, QUIET, TRUE, house_style, save
from autointerp.self_explanation.account_folder import PICTURE, AccountResults, read_accounts
from autointerp.self_explanation.account_measures import (
    COMPREHENSIVENESS,
    DELETION_RANK,
    FLIP_BY_FIRST,
    MEASURES,
    SUFFICIENCY,
    WORDS_TO_FLIP,
)  # fmt: skip
from autointerp.self_explanation.own_accounts import ORDERS
from autointerp.self_explanation.rival_accounts import NULLS, RANDOM

_PANELS = (COMPREHENSIVENESS, SUFFICIENCY, FLIP_BY_FIRST, WORDS_TO_FLIP, DELETION_RANK)


def self_explanation_figure(results: AccountResults) -> Figure:
    """A panel per measure, a line per method: mean and interval over reviews; dashed: a random account."""
    methods = results.methods
    figure = Figure(figsize=(2.35 * len(_PANELS) + 1.4, 1.7 + 0.36 * max(len(methods), 3)), layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, _PANELS, strict=True):
        _panel(axis, results, measure)
    axes[0].set_yticks(range(len(methods)), [method.replace("-", " ") for method in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.suptitle("Is the model's own account right about the model?", fontsize=12, fontweight="bold")
    handles = [
        Line2D([], [], marker="o", color=TRUE, label="the model's own account"),
        Line2D([], [], marker="o", color=PREDICTED, markerfacecolor="white", label="what it is held against"),
        Line2D([], [], marker="o", color=QUIET, markerfacecolor="white", label="knows nothing of the answer"),
        Line2D([], [], color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), label="a random account"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _panel(axis: Axes, results: AccountResults, measure: str) -> None:
    for position, method in enumerate(results.methods):
        if position % 2:
            axis.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
        row = results.row(method, measure)
        if row is None or row.value is None:
            axis.text(
                0.5, position, "none", transform=axis.get_yaxis_transform(), ha="center", va="center", color=QUIET
            )
            continue
        own = method in ORDERS
        colour = TRUE if own else QUIET if method in NULLS else PREDICTED
        if row.low is not None and row.high is not None:
            axis.plot([row.low, row.high], [position, position], color=colour, linewidth=1.6, solid_capstyle="butt")
        axis.plot([row.value], [position], marker="o", markersize=4.5, color=colour,
                  markerfacecolor=colour if own else "white")  # fmt: skip
    drawn = results.row(RANDOM, measure)
    if drawn is not None and drawn.value is not None:
        axis.axvline(drawn.value, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    traits = MEASURES[measure]
    axis.set_title(traits.words, loc="left", fontweight="bold", fontsize=8.5, color=INK, wrap=True)
    axis.set_xlabel("higher is better" if traits.higher_is_better else "lower is better")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def draw_accounts(folder: Path, style: str | None = None, size: str | None = None) -> list[Path]:
    """The picture again, from the tables: `figures/self-explanation.svg` and `.png`; see `house_style`."""
    results = read_accounts(folder)
    with house_style(style, size):
        return save(self_explanation_figure(results), folder / "figures", PICTURE)
