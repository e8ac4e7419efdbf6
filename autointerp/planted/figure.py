"""Figure: every method against every sort of wrong explanation, with intervals and the line of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autointerp.planted.results import PICTURE, Results, read_results
from autointerp.planted.statistics import AGAINST_NOISE, ALL, CHANCE, DEVELOPMENT, TEST
from autointerp.planted.units import WRONG
from autointerp.plot.style import BAND, PREDICTED, QUIET, TRUE, house_style, printable_line, save
from autointerp.rows import BenchmarkRow

_LONGEST = 28  # characters of a method's name that are shown
_ASIDE = 0.2  # of a line's height: test above, development below
_TITLES: Mapping[str, str] = {
    "near-miss": "a near miss", "too-broad": "one too broad", "too-narrow": "one too narrow", "other": "another unit's",
    AGAINST_NOISE: "noise (no explanation)",
}  # fmt: skip


def picture(results: Results) -> Figure:
    """One panel per sort of wrong explanation, a line per method: all kinds together, both halves.

    Methods that read no explanation have a panel of their own: how often a unit that means something scores above one
    that means nothing. Below its name stands the number of units of the frozen half.
    """
    methods = [scores.method for scores in results.scores]
    panels = [*WRONG, *([AGAINST_NOISE] if any(not scores.explained for scores in results.scores) else [])]
    figure = Figure(figsize=(2.6 * len(panels) + 1.4, 1.9 + 0.42 * max(len(methods), 2)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, wrong in zip(axes, panels, strict=True):
        _panel(axis, results, methods, wrong)
    axes[0].set_yticks(range(len(methods)), [_label(results, method, panels) for method in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    axes[0].set_xlim(-0.03, 1.03)
    figure.suptitle("How often the true explanation scores above ...", fontsize=12, fontweight="bold")
    handles = [
        Line2D([], [], marker="o", color=TRUE, label="frozen half"),
        Line2D([], [], marker="o", color=PREDICTED, markerfacecolor="white", label="half that prompts may be tuned on"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _label(results: Results, method: str, panels: Sequence[str]) -> str:
    """The method, and on how many units of the frozen half it stands."""
    counts = [row.n for wrong in panels if (row := results.row(method, ALL, wrong, TEST)) is not None]
    return f"{printable_line(method, _LONGEST)}\nn = {max(counts, default=0)}"


def _panel(axis: Axes, results: Results, methods: Sequence[str], wrong: str) -> None:
    axis.axvline(CHANCE, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for position, method in enumerate(methods):
        if position % 2:
            axis.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
        for half, aside, colour, face in (
            (TEST, -_ASIDE, TRUE, TRUE),
            (DEVELOPMENT, _ASIDE, PREDICTED, "white"),
        ):
            row = results.row(method, ALL, wrong, half)
            if row is not None:
                _point(axis, row, position + aside, colour, face)
    axis.set_title(_TITLES[wrong], loc="left", fontweight="bold")
    axis.set_xlabel("P(true above wrong)" if wrong != AGAINST_NOISE else "P(meaning above noise)")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _point(axis: Axes, row: BenchmarkRow, height: float, colour: str, face: str) -> None:
    """A method's value with its interval; nothing where no unit was scored."""
    if row.auroc is None:
        return
    if row.low is not None and row.high is not None:
        axis.plot([row.low, row.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axis.plot([row.auroc], [height], marker="o", markersize=4.5, color=colour, markerfacecolor=face, zorder=3)


def draw(folder: Path) -> list[Path]:
    """The picture again, from the tables: `figures/benchmark.svg` and `.png`."""
    results = read_results(folder)
    with house_style():
        return save(picture(results), folder / "figures", PICTURE)
