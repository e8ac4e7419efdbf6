"""Figure: by how much features score above every other arm, in every slice and stratum."""

from __future__ import annotations

from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autointerp.compare.outcome import Outcome
from autointerp.compare.strata import STRATA
from autointerp.compare.words import metric_words, p_text, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.plot.style import BAND, INK, QUIET, colour_of, framed, pt
from autointerp.rows import ALL, OWN_SHUFFLED, ComparisonRow
from autointerp.units.arms import is_feature, plain

_STRATA = {"all": "all units", "single-token": "single-token units", "not-single-token": "other units"}


@dataclass(frozen=True)
class _ForestLine:
    """A line of the figure: a heading when it has no row."""

    text: str
    row: ComparisonRow | None = None


def forest(outcome: Outcome) -> Figure:
    """One panel per slice; a line per (feature arm, baseline) and stratum: difference of means with its interval."""
    panels = {s: _lines(outcome, s) for s in outcome.drawn_slices}
    tallest = max(len(lines) for lines in panels.values())
    figure = Figure(figsize=(12.5, 1.5 + 0.225 * max(tallest, 3)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (slice_name, lines) in zip(axes, panels.items(), strict=True):
        _panel(panel, slice_name, lines)
    shown = [line.row for lines in panels.values() for line in lines if line.row]
    ends = (end for row in shown for end in (row.difference, row.difference_low, row.difference_high))
    labelled = next(iter(panels.values()))
    framed(axes[0], [(line.text, line.row is None) for line in labelled], ends, tallest)
    metric = metric_words(outcome.headline.metric)
    figure.suptitle(f"SAE features minus every other arm (difference of means, {metric})",
                    fontsize=pt(12), fontweight="bold")  # fmt: skip
    return figure


def _lines(outcome: Outcome, slice_name: str) -> list[_ForestLine]:
    cell = replace(outcome.headline, slice=slice_name)
    lines: list[_ForestLine] = []
    several = len(outcome.feature_arms) > 1
    for row in outcome.contrasts(cell):
        if not is_feature(row.arm):
            continue
        other = "themselves, explanations shuffled" if row.baseline == OWN_SHUFFLED else plain(row.baseline)
        lines.append(_ForestLine(f"{plain(row.arm)} minus {other}" if several else f"minus {other}"))
        for stratum in STRATA:
            found = outcome.row(replace(cell, stratum=stratum), row.arm, row.baseline)
            if found is not None:
                lines.append(_ForestLine(_STRATA[stratum], found))
    return lines


def _panel(panel: Axes, slice_name: str, lines: list[_ForestLine]) -> None:
    for position, line in enumerate(lines):
        row = line.row
        if row is None:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
            continue
        _difference(panel, row, position)
        panel.text(1.02, position, _numbers(row), transform=panel.get_yaxis_transform(), va="center", fontsize=pt(7.3))
    panel.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    panel.set_title(slice_words(slice_name), loc="left", fontweight="bold")
    panel.set_xlabel("difference (right of 0: features score higher)")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _difference(panel: Axes, row: ComparisonRow, place: int) -> None:
    colour = INK if row.baseline == OWN_SHUFFLED else colour_of(row.baseline)
    if row.difference is None:
        return
    if row.difference_low is not None and row.difference_high is not None:
        panel.plot([row.difference_low, row.difference_high], [place, place], color=colour, linewidth=2.0,
                   solid_capstyle="butt", zorder=2)  # fmt: skip
    marker = "D" if row.stratum == ALL else "o"
    panel.plot([row.difference], [place], marker=marker, markersize=5, color=colour, zorder=3)


def _numbers(row: ComparisonRow) -> str:
    counts = f"n {row.n}" if row.baseline == OWN_SHUFFLED else f"n {row.n} v {row.n_baseline}"
    if row.difference is None:
        return f"{counts}   {row.note}"
    shown = with_interval(row.difference, row.difference_low, row.difference_high)
    return "   ".join(part for part in (shown, p_text(row.p), counts) if part)
