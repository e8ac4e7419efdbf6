"""Figure: the shares of one score's variance, and how far each factor moves the difference of two arms."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from autointerp.between_runs.answer_by_factor import FACTOR_WORDS, way_words
from autointerp.between_runs.by_factor import ALL_FACTORS, SAMPLING, SHARE
from autointerp.between_runs.factor_results import FactorResults
from autointerp.between_runs.redrawn import ReadAs
from autointerp.compare.replicates import REPLICATE
from autointerp.compare.words import capital, share_text
from autointerp.metrics.shares import UNIT
from autointerp.plot.glyphs import printable_line
from autointerp.plot.style import BAND, INK, PREDICTED, QUIET, TRUE, pt
from autointerp.records import Pairing
from autointerp.units.arms import plain

_COLOURS = {
    UNIT: "#c9c9c9", "corpus": "#0072b2", "sae": "#56b4e9", "evidence": "#d55e00", "explain": "#e69f00",
    "simulate": "#009e73",
}  # fmt: skip
_MARKS = ((INK, "D", 7.0), (TRUE, "o", 6.0), (PREDICTED, "^", 6.5))
"""Of the ways in which units are scored, the simulator first."""
_WRITTEN = 0.06
"""Share from which on there is room for its number."""
_LONGEST = 34


def by_factor(results: FactorResults) -> Figure:
    """Above: a bar per arm and way of scoring, shares of one score's variance. Below: standard deviation of the
    difference by factor, with its interval for the simulator, beside what the choice of units gives by chance."""
    ways = [way for way in results.ways if way.pairing == Pairing.OWN]
    bars = [(arm, way) for arm in results.arms for way in ways if results.row(SHARE, way, arm, factor=UNIT)]
    lines = [*results.factors, ALL_FACTORS] if results.pairs else []
    heights = [max(1.0, len(bars)) * 0.36 + 1.1, len(lines) * 0.36 + 1.3]
    figure = Figure(figsize=(7.5, sum(heights) if lines else heights[0]), layout="constrained")
    if lines:
        above, below = figure.subplots(2, 1, height_ratios=heights)
        _moves(below, results, ways, lines)
    else:
        above = figure.subplots(1, 1)
    _bars(above, results, bars)
    return figure


def _bars(panel: Axes, results: FactorResults, bars: list[tuple[str, ReadAs]]) -> None:
    shown = [UNIT, *results.in_sums]
    for position, (arm, way) in enumerate(bars):
        start = 0.0
        for name in shown:
            row = results.row(SHARE, way, arm, factor=name)
            value = row.value if row is not None and row.value is not None else 0.0
            panel.barh(position, value, left=start, height=0.74, color=_COLOURS[name], edgecolor="white", linewidth=0.6)
            if value >= _WRITTEN:
                ink = "white" if name in ("corpus", "evidence", "simulate") else INK
                panel.text(
                    start + value / 2, position, share_text(value), ha="center", va="center", color=ink, fontsize=pt(10)
                )
            start += value
    labels = [printable_line(f"{capital(plain(arm))}, {way_words(way)}", _LONGEST) for arm, way in bars]
    panel.set_yticks(range(len(bars)), labels, fontsize=pt(10.5))
    panel.set_ylim(len(bars) - 0.5, -0.5)
    panel.set_xlim(0, 1)
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"], fontsize=pt(10))
    panel.set_title("Variance of one score, due to", loc="left", fontweight="bold", fontsize=pt(12))
    handles = [Patch(color=_COLOURS[name], label=FACTOR_WORDS[name]) for name in shown]
    panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.36, -0.1), ncols=3, frameon=False, fontsize=pt(10)
    )
    panel.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        panel.spines[side].set_visible(False)


def _moves(panel: Axes, results: FactorResults, ways: list[ReadAs], lines: list[str]) -> None:
    arm, baseline = results.pairs[0]
    aside = [0.0, -0.24, 0.24]
    for position, name in enumerate(lines):
        if name == ALL_FACTORS:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.6, linewidth=0, zorder=0)
        for (colour, marker, size), way, up in zip(_MARKS, ways, aside, strict=False):
            row = results.row(REPLICATE, way, arm, baseline, name)
            if row is None or row.value is None:
                continue
            if way is ways[0] and row.low is not None and row.high is not None:
                panel.plot([row.low**0.5, row.high**0.5], [position] * 2, color=colour, linewidth=2.0, zorder=2)
            panel.plot([row.value**0.5], [position + up], marker=marker, markersize=size, color=colour,
                       markeredgecolor="white", zorder=3, clip_on=False)  # fmt: skip
    handles = [
        Line2D(
            [],
            [],
            marker=mark,
            color=colour,
            markersize=size,
            linestyle="-" if way is ways[0] else "",
            label=way_words(way),
        )
        for (colour, mark, size), way in zip(_MARKS, ways, strict=False)
    ]
    sampling = results.row(SAMPLING, ways[0], arm, baseline)
    if sampling is not None and sampling.value is not None:
        panel.axvline(sampling.value**0.5, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.4, zorder=1)
        handles.append(Line2D([], [], color=QUIET, linestyle=(0, (4, 3)), label="by chance, by the units of one draw"))
    panel.set_yticks(range(len(lines)), [capital(FACTOR_WORDS[name]) for name in lines], fontsize=pt(10.5))
    panel.set_ylim(len(lines) - 0.5, -0.5)
    panel.set_xlim(left=-0.02 * panel.get_xlim()[1])
    panel.tick_params(axis="x", labelsize=pt(10))
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    title = printable_line(f"{capital(plain(arm))} minus {plain(baseline)}, from draw to draw", 46)
    panel.set_xlabel("standard deviation of the difference", fontsize=pt(10.5))
    panel.set_title(title, loc="left", fontweight="bold", fontsize=pt(12))
    panel.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.36, -0.17), ncols=2, frameon=False, fontsize=pt(10)
    )
