"""Figure: every method against every sort of wrong explanation, on what it sees; and the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autointerp.benchmark_rows import BenchmarkRow
from autointerp.planted.bounds import CHANCE, MARGIN
from autointerp.planted.meanings import DESCRIPTION, NOISE, WORD_LIST
from autointerp.planted.results import PICTURE, Results, read_results
from autointerp.planted.statistics import AGAINST_NOISE, BLIND, SEEN, TEST
from autointerp.planted.units import OTHER, WRONG
from autointerp.plot.glyphs import printable_line
from autointerp.plot.style import BAND, PREDICTED, QUIET, TRUE, house_style, save

_LONGEST = 28  # characters of a method's name that are shown
_ASIDE = 0.2  # of a line's height: descriptions above, lists below
_TITLES: Mapping[str, str] = {
    "near-miss": "a near miss", "too-broad": "one too broad", "too-narrow": "one too narrow", "other": "another unit's",
}  # fmt: skip

Panel = tuple[str, str, str]
"""Title, pool of kinds, sort of wrong explanation."""


def panels_of(results: Results) -> list[Panel]:
    """Each sort of wrong explanation on what is seen, the control, and noise where a method reads no explanation."""
    panels = [(_TITLES[wrong], SEEN, wrong) for wrong in WRONG]
    panels.append(("control: can't be seen", BLIND, OTHER))
    if any(not scores.explained for scores in results.scores):
        panels.append(("noise (no explanation)", SEEN, AGAINST_NOISE))
    return panels


def picture(results: Results) -> Figure:
    """One panel per sort of wrong explanation, a line per method: on the frozen half, in both forms.

    In the control a method must be at chance. Methods that read no explanation have a panel of their own: how often a
    unit that means something scores above one that means nothing. Below a name stands on how many meanings it is.
    """
    methods = [scores.method for scores in results.scores]
    panels = panels_of(results)
    figure = Figure(figsize=(2.4 * len(panels) + 1.4, 1.9 + 0.42 * max(len(methods), 2)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _panel(axis, results, methods, panel)
    axes[0].set_yticks(range(len(methods)), [_label(results, method) for method in methods])
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    axes[0].set_xlim(-0.03, 1.03)
    figure.suptitle("How often the true explanation scores above ...", fontsize=12, fontweight="bold")
    handles = [
        Line2D([], [], marker="o", color=TRUE, label="told as a description"),
        Line2D([], [], marker="o", color=PREDICTED, markerfacecolor="white", label="told as a list of words"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _label(results: Results, method: str) -> str:
    """The method, and on how many meanings of the frozen half it stands, of those that it sees."""
    counts = [r.n for r in results.rows if (r.method, r.kind, r.half) == (method, SEEN, TEST)]
    return f"{printable_line(method, _LONGEST)}\nn = {max(counts, default=0)}"


def _panel(axis: Axes, results: Results, methods: Sequence[str], panel: Panel) -> None:
    title, pool, wrong = panel
    if pool == BLIND:
        axis.axvspan(CHANCE - MARGIN, CHANCE + MARGIN, color=QUIET, alpha=0.15, linewidth=0, zorder=0)
    axis.axvline(CHANCE, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for position, method in enumerate(methods):
        if position % 2:
            axis.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
        for form, aside, colour, face in (
            (DESCRIPTION, -_ASIDE, TRUE, TRUE),
            (WORD_LIST, _ASIDE, PREDICTED, "white"),
            ("", 0.0, TRUE, TRUE),
        ):
            row = results.row(method, pool, form, wrong, TEST)
            if row is not None:
                _point(axis, row, position + aside, colour, face)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_xlabel("P(true above wrong)" if wrong != NOISE else "P(meaning above noise)")
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _point(axis: Axes, row: BenchmarkRow, height: float, colour: str, face: str) -> None:
    """A method's value with its interval; nothing where no unit was scored."""
    if row.auroc is None:
        return
    if row.low is not None and row.high is not None:
        axis.plot([row.low, row.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    axis.plot([row.auroc], [height], marker="o", markersize=4.5, color=colour, markerfacecolor=face, zorder=3)


def draw(folder: Path, style: str | None = None, size: str | None = None) -> list[Path]:
    """The picture again, from the tables: `figures/benchmark.svg` and `.png`; `style`, `size`: see `house_style`."""
    results = read_results(folder)
    with house_style(style, size):
        return save(picture(results), folder / "figures", PICTURE)
