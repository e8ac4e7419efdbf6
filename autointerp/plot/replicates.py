"""Figure: the difference of features and neurons in every replicate of a run, and over all of them."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autointerp.compare.outcome import Outcome
from autointerp.compare.replicates import DRAW, MEAN, read_variance
from autointerp.compare.words import metric_words, with_interval
from autointerp.contexts.slices import slice_words
from autointerp.plot.style import BAND, INK, QUIET, TRUE, pt
from autointerp.units.arms import plain
from autointerp.variance_rows import VarianceRow


def replicates(outcome: Outcome) -> Figure | None:
    """One panel per slice: a line per replicate with its interval over units, and their mean with its t interval.

    None where no difference was held over replicates.
    """
    panels = {name: _lines(outcome, name) for name in outcome.drawn_slices}
    tallest = max(len(lines) for lines in panels.values())
    if not tallest:
        return None
    figure = Figure(figsize=(11.5, 1.7 + 0.32 * tallest), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (slice_name, lines) in zip(axes, panels.items(), strict=True):
        _panel(panel, slice_name, lines)
    labelled = max(panels.values(), key=len)
    axes[0].set_yticks(range(len(labelled)), [_name(row) for row in labelled])
    axes[0].set_ylim(tallest - 0.4, -0.6)
    figure.suptitle(
        f"Differences in each replicate ({metric_words(outcome.headline.metric)}), drawn anew: "
        f"{', '.join(outcome.study.compare.redraw)}",
        fontsize=pt(12),
        fontweight="bold",
    )  # fmt: skip
    return figure


def _lines(outcome: Outcome, slice_name: str) -> list[VarianceRow]:
    cell = outcome.headline
    pairs = {(arm, outcome.baseline_of(arm)) for arm in outcome.feature_arms}
    return [
        row
        for row in read_variance(outcome)
        if (row.scorer, row.metric, row.slice) == (cell.scorer, cell.metric, slice_name)
        and row.component in (DRAW, MEAN)
        and (row.arm, row.baseline) in pairs
        and row.value is not None
    ]


def _name(row: VarianceRow) -> str:
    if row.component == MEAN:
        return f"mean of {row.replicates} replicates"
    return f"{plain(row.arm)} minus {plain(row.baseline)}, replicate {row.replicate}"


def _panel(panel: Axes, slice_name: str, lines: list[VarianceRow]) -> None:
    for position, row in enumerate(lines):
        whole = row.component == MEAN
        colour = INK if whole else TRUE
        if whole:
            panel.axhspan(position - 0.5, position + 0.5, color=BAND, alpha=0.45, linewidth=0, zorder=0)
        if row.low is not None and row.high is not None:
            panel.plot([row.low, row.high], [position] * 2, color=colour, linewidth=1.8, zorder=2)
        if row.value is not None:
            panel.plot([row.value], [position], marker="D" if whole else "o", markersize=5, color=colour, zorder=3)
        panel.text(
            1.02,
            position,
            with_interval(row.value, row.low, row.high),
            transform=panel.get_yaxis_transform(),
            va="center",
            fontsize=pt(7.5),
        )
    panel.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    panel.set_title(slice_words(slice_name), loc="left", fontweight="bold")
    panel.set_xlabel("difference (right of 0: features score higher)")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
