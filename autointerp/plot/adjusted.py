"""Figure: what is left of the difference of features and neurons at equal token determinism, by every estimate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autointerp.adjusted_rows import AdjustedRow
from autointerp.compare.adjusted import ADJUSTED, CORRECTED, MATCHED, RAW
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import covariate_words, listed, metric_words, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.metrics.adjustment import NO_SUPPORT
from autointerp.plot.style import BAND, INK, PREDICTED, QUIET, TRUE, framed, pt
from autointerp.units.arms import plain

_OTHER = "#009e73"
_LOOKS = {RAW: (INK, "D"), ADJUSTED: (TRUE, "o"), MATCHED: (_OTHER, "s"), CORRECTED: (PREDICTED, "^")}
_MEANING = {
    RAW: "raw: nothing held equal",
    ADJUSTED: "adjusted (analysis of covariance)",
    MATCHED: "matched 1:1",
    CORRECTED: "adjusted, at the covariates' reliability",
}


@dataclass(frozen=True)
class _AdjustedLine:
    """A line of the figure: a heading when it has no row."""

    text: str
    row: AdjustedRow | None = None


def adjusted_differences(outcome: Outcome) -> Figure:
    """One panel per slice; a line per estimate, grouped by what is held equal, with its number or why there is none."""
    panels = {name: list(_lines(outcome, name)) for name in outcome.drawn_slices}
    tallest = max(len(lines) for lines in panels.values())
    figure = Figure(figsize=(12.5, 1.9 + 0.2 * tallest), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (slice_name, lines) in zip(axes, panels.items(), strict=True):
        _panel(panel, slice_name, lines)
    ends = (
        end
        for lines in panels.values()
        for line in lines
        if line.row is not None
        for end in (line.row.difference, line.row.low, line.row.high)
    )
    labelled = next(iter(panels.values()))
    framed(axes[0], [(line.text, line.row is None) for line in labelled], ends, tallest)
    metric = metric_words(outcome.headline.metric)
    figure.suptitle(f"Differences at equal token determinism ({metric}): a decomposition, not the truth",
                    fontsize=pt(12), fontweight="bold")  # fmt: skip
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.8, label=_MEANING[estimate])
        for estimate, (colour, marker) in _LOOKS.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4 if pt(1) <= 1 else 2, frameon=False, fontsize=pt(8)
    )
    return figure


def _lines(outcome: Outcome, slice_name: str) -> Iterator[_AdjustedLine]:
    rows = [row for row in outcome.adjusted if row.slice == slice_name]
    for arm, baseline in dict.fromkeys((row.arm, row.baseline) for row in rows):
        yield _AdjustedLine(f"{plain(arm)} minus {plain(baseline)}, held equal:")
        of_pair = [row for row in rows if (row.arm, row.baseline) == (arm, baseline)]
        for covariates in dict.fromkeys(row.covariates for row in of_pair):
            found = [row for row in of_pair if row.covariates == covariates]
            refused = all(row.note == NO_SUPPORT for row in found)
            for place, row in enumerate(found[:1] if refused else found):
                yield _AdjustedLine(_held(row) if place == 0 else "", row)


def _held(row: AdjustedRow) -> str:
    """What is held equal."""
    if not row.covariates:
        return "nothing"
    if len(row.covariates) == 1:
        return covariate_words(row.covariates[0])
    return "all but " + listed([covariate_words(name) for name in row.left_out]) if row.left_out else "all of them"


def _panel(panel: Axes, slice_name: str, lines: list[_AdjustedLine]) -> None:
    for position, line in enumerate(lines):
        row = line.row
        if row is None:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
            continue
        colour, marker = _LOOKS[row.estimate]
        if row.low is not None and row.high is not None:
            panel.plot(
                [row.low, row.high], [position] * 2, color=colour, linewidth=1.8, solid_capstyle="butt", zorder=2
            )
        if row.difference is not None:
            panel.plot([row.difference], [position], marker=marker, markersize=5, color=colour, zorder=3)
        panel.text(1.02, position, _numbers(row), transform=panel.get_yaxis_transform(), va="center", fontsize=pt(7.3))
    panel.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    panel.set_title(slice_words(slice_name), loc="left", fontweight="bold")
    panel.set_xlabel("difference (right of 0: features score higher)")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def _numbers(row: AdjustedRow) -> str:
    if row.difference is None:
        return row.note
    pairs = f"   {row.pairs} pairs" if row.estimate == MATCHED else ""
    return f"{with_interval(row.difference, row.low, row.high)}{pairs}"
