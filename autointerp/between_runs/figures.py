"""Figures of several runs: every arm's scores run by run, and by how much each run differs from the first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.compared import ComparedRuns
from autointerp.between_runs.sides import Side
from autointerp.compare.words import capital, metric_words, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.plot.glyphs import printable_line
from autointerp.plot.style import BAND, INK, QUIET, colour_of, framed
from autointerp.records import Pairing, Status
from autointerp.report.answer import adjusted_p
from autointerp.rows import NO_BASELINE, READ_LITERALLY
from autointerp.units.arms import is_feature, plain

_GOLDEN = (5**0.5 - 1) / 2
_LONGEST = 30
"""Characters of a run's name that are shown."""


@dataclass(frozen=True)
class _RunLine:
    """A line: a heading when it has no side."""

    text: str
    arm: str
    side: Side | None = None


def distribution_by_run(compared: ComparedRuns) -> Figure:
    """One panel per slice, below each arm a row per run: units as points, the mean with its interval over units."""
    lines = [
        line
        for arm in compared.arms
        for line in (
            _RunLine(capital(plain(arm)), arm),
            *(
                _RunLine(printable_line(side.label, _LONGEST), arm, side)
                for side in (compared.base, *compared.others)
                if side is compared.base or arm in compared.grounds[side.label].arms
            ),
        )
    ]
    names = _drawn(compared)
    figure = Figure(figsize=(11.0, 1.7 + 0.34 * len(lines)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, slice_name in zip(panels, names, strict=True):
        _scores(panel, compared, slice_name, lines)
    panels[0].set_yticks(range(len(lines)), [line.text for line in lines])
    for tick, line in zip(panels[0].get_yticklabels(), lines, strict=True):
        tick.set_fontweight("normal" if line.side else "bold")
    panels[0].set_ylim(len(lines) - 0.4, -0.7)
    figure.suptitle("How well explanations predict activations on held-out text, run by run",
                    fontsize=12, fontweight="bold")  # fmt: skip
    confidence = f"{compared.base.study.compare.confidence:.0%}"
    handles = [
        Line2D([], [], marker="o", linestyle="", color=QUIET, alpha=0.6, markersize=4, label="a unit"),
        Line2D([], [], marker="D", color=INK, markeredgecolor="white", label=f"mean, {confidence} interval over units"),
        Line2D([], [], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0, label="chance"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _drawn(compared: ComparedRuns) -> list[str]:
    return compared.slices[:2]


def _scores(panel: Axes, compared: ComparedRuns, slice_name: str, lines: list[_RunLine]) -> None:
    lowest, chance = -0.3, 0.0
    for position, line in enumerate(lines):
        if line.side is None:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
            continue
        values = _values(line.side, compared.headline.metric, slice_name, line.arm)
        lowest = min(lowest, *values, 0.0)
        aside = ((np.arange(values.size) + 1) * _GOLDEN % 1 - 0.5) * 0.42
        panel.scatter(values, position + aside, s=9, color=colour_of(line.arm), alpha=0.45, linewidths=0, zorder=2)
        cell = replace(line.side.outcome.headline, metric=compared.headline.metric, slice=slice_name)
        row = line.side.outcome.row(cell, line.arm)
        if row is None or row.mean is None:
            continue
        chance, lowest = row.chance, min(lowest, row.low or 0.0)
        if row.low is not None and row.high is not None:
            panel.plot([row.low, row.high], [position] * 2, color=INK, linewidth=1.8, zorder=3, solid_capstyle="butt")
        panel.plot([row.mean], [position], marker="D", markersize=5.5, color=INK, markeredgecolor="white", zorder=4)
        label = f"{with_interval(row.mean, row.low, row.high)}   n {row.n}"
        panel.text(1.02, position, label, transform=panel.get_yaxis_transform(), va="center", fontsize=7.5)
    panel.axvline(chance, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    panel.set_xlim(lowest - 0.05, 1.04)
    panel.set_title(slice_words(slice_name), loc="left", fontweight="bold")
    panel.set_xlabel(f"{capital(metric_words(compared.headline.metric))} over a unit's pooled tokens")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _values(side: Side, metric: str, slice_name: str, arm: str) -> np.ndarray:
    """Scored units, the lowest first."""
    scores = side.outcome.scores
    wanted = {"scorer": side.outcome.headline.scorer, "metric": metric, "slice": slice_name, "arm": arm,
              "pairing": Pairing.OWN.value, "status": Status.OK.value}  # fmt: skip
    rows = scores.loc[np.logical_and.reduce([scores[column] == value for column, value in wanted.items()])]
    return np.sort(rows["value"].to_numpy(dtype=np.float64))


@dataclass(frozen=True)
class _DifferenceLine:
    """A line of the second figure: a heading when it has no run."""

    text: str
    run: str = ""
    arm: str = ""
    baseline: str = NO_BASELINE


def forest_of_runs(compared: ComparedRuns) -> Figure:
    """One panel per slice, below each heading a line per run: its difference from the first run with the interval.

    Headings: every arm's scores, features minus their baseline, and what is added to a literal reading. The grey band
    is the margin of equivalence.
    """
    names, lines = _drawn(compared), _difference_lines(compared)
    figure = Figure(figsize=(13.0, 1.5 + 0.25 * max(len(lines), 3)), layout="constrained")
    axes = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    for panel, slice_name in zip(axes, names, strict=True):
        _differences(panel, compared, slice_name, lines)
    rows = [row for name in names for line in lines if (row := _row_of(compared, line, name)) is not None]
    ends = (end for row in rows for end in (row.difference, row.difference_low, row.difference_high))
    framed(axes[0], [(line.text, not line.run) for line in lines], ends, len(lines))
    margin = Patch(color=QUIET, alpha=0.1, label=f"margin of equivalence: {compared.base.study.compare.margin:g}")
    figure.legend(handles=[margin], loc="outside lower center", frameon=False, fontsize=8)
    base = printable_line(compared.base.label, _LONGEST)
    figure.suptitle(f"By how much each run differs from {base} ({metric_words(compared.headline.metric)})",
                    fontsize=12, fontweight="bold")  # fmt: skip
    return figure


def _row_of(compared: ComparedRuns, line: _DifferenceLine, slice_name: str) -> BetweenRunsRow | None:
    return compared.row(line.run, line.arm, line.baseline, slice_name) if line.run else None


def _difference_lines(compared: ComparedRuns) -> list[_DifferenceLine]:
    asked = [(arm, NO_BASELINE, capital(plain(arm))) for arm in compared.arms]
    for arm in filter(is_feature, compared.main_arms):
        if baseline := compared.base.outcome.baseline_of(arm):
            asked.append((arm, baseline, f"{capital(plain(arm))} minus {plain(baseline)}"))
    asked += [(arm, READ_LITERALLY, f"{capital(plain(arm))} beyond a literal reading") for arm in compared.main_arms]
    lines: list[_DifferenceLine] = []
    for arm, baseline, text in asked:
        found = [
            line
            for other in compared.others
            for line in [_DifferenceLine(printable_line(other.label, _LONGEST), other.label, arm, baseline)]
            if any(_row_of(compared, line, name) is not None for name in _drawn(compared))
        ]
        lines += [_DifferenceLine(text), *found] if found else []
    return lines


def _differences(panel: Axes, compared: ComparedRuns, slice_name: str, lines: list[_DifferenceLine]) -> None:
    margin = compared.base.study.compare.margin
    panel.axvspan(-margin, margin, color=QUIET, alpha=0.1, linewidth=0, zorder=0)
    for position, line in enumerate(lines):
        row = _row_of(compared, line, slice_name)
        if not line.run:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
        if row is None:
            continue
        if row.difference is not None:
            colour = colour_of(row.arm)
            if row.difference_low is not None and row.difference_high is not None:
                panel.plot([row.difference_low, row.difference_high], [position] * 2, color=colour, linewidth=2.0,
                           solid_capstyle="butt", zorder=2)  # fmt: skip
            panel.plot([row.difference], [position], marker="D", markersize=5, color=colour, zorder=3)
        panel.text(1.02, position, _numbers(row), transform=panel.get_yaxis_transform(), va="center", fontsize=7.3)
    panel.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    panel.set_title(slice_words(slice_name), loc="left", fontweight="bold")
    panel.set_xlabel(f"difference (right of 0: higher than in {printable_line(compared.base.label, _LONGEST)})")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _numbers(row: BetweenRunsRow) -> str:
    counts = f"same {row.paired}" if row.paired is not None else f"n {row.n} v {row.base_n}"
    if row.difference is None:
        return f"{counts}   {row.note}"
    shown = with_interval(row.difference, row.difference_low, row.difference_high)
    p = p_text(adjusted_p(row))
    return "   ".join(part for part in (shown, f"adj. {p}" if p else "", counts) if part)
