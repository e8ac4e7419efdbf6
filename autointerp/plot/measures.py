"""Figure: every measure, own minus scrambled: of the features, of the neurons, and the one less the other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autointerp.compare.measures import OF_EVIDENCE, by_telling, measure_words
from autointerp.compare.outcome import Outcome
from autointerp.compare.words import metric_words, p_text, with_interval
from autointerp.plot.style import INK, PREDICTED, QUIET, RULE, TRUE, framed
from autointerp.scrambled_rows import MeasureRow
from autointerp.units.arms import plain

_LOOKS = {"features": (TRUE, "o", -0.22), "neurons": (PREDICTED, "s", 0.0), "features minus neurons": (INK, "D", 0.22)}
_LINE = 0.34  # inches


def measures(outcome: Outcome) -> Figure | None:
    """The first feature arm against each scheme: a column per scheme, scores above and what evidence says below.

    A simulator's scores by the headline's metric alone, and what tells by another; the report has the rest. Lines are
    in the order of the first scheme, and what could not be tested has none. None without scrambled subjects.
    """
    tested = {row.arm for row in outcome.measures if row.p is not None}
    arm = next((arm for arm in outcome.feature_arms if arm in tested), None)
    if arm is None:
        return None
    simulators = {row.scorer for row in outcome.measures if row.metric == outcome.headline.metric}
    chosen = [
        row
        for row in outcome.measures
        if (row.arm == arm and row.p is not None)
        and (row.metric == outcome.headline.metric or row.scorer not in simulators or _tells(row, outcome))
    ]
    schemes = list(dict.fromkeys(row.scheme for row in chosen))
    order = by_telling([row for row in chosen if row.scheme == schemes[0]])
    names = [[measure_words(row) for row in order if (row.scorer == OF_EVIDENCE) == below] for below in (False, True)]
    sizes = [max(len(part), 1) for part in names]
    figure = Figure(figsize=(7.5 + 5.0 * len(schemes), 2.2 + _LINE * sum(sizes)), layout="constrained")
    axes = figure.subplots(
        2, len(schemes), sharex="row", sharey="row", squeeze=False, gridspec_kw={"height_ratios": sizes}
    )
    for column, scheme in enumerate(schemes):
        by_name = {measure_words(row): row for row in chosen if row.scheme == scheme}
        for panels, lines in zip(axes, names, strict=True):
            _panel(panels[column], [by_name.get(name) for name in lines])
        axes[0][column].set_title(f"own minus scrambled ({scheme})", loc="left", fontweight="bold")
        axes[1][column].set_title("evidence alone, in its own unit", loc="left", fontweight="bold")
        axes[0][column].set_xlabel("difference of scores (right of 0: higher in the trained subject)")
    for panels, lines, below in zip(axes, names, (False, True), strict=True):
        ends = [end for row in chosen if (row.scorer == OF_EVIDENCE) == below for end in _ends(row)]
        short = [name.replace(f", {metric_words(outcome.headline.metric)}", "") for name in lines]
        framed(panels[0], [(name, False) for name in short], ends, len(lines))
    figure.suptitle(
        f"What tells trained from scrambled weights? {plain(arm)} and {plain(order[0].baseline)} (exploratory)",
        fontsize=12, fontweight="bold",
    )  # fmt: skip
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.8, label=label)
        for label, (colour, marker, _) in _LOOKS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _tells(row: MeasureRow, outcome: Outcome) -> bool:
    return row.p_holm is not None and row.p_holm < 1 - outcome.study.compare.confidence


def _estimates(row: MeasureRow) -> Sequence[tuple[float | None, float | None, float | None]]:
    return (
        (row.features_difference, row.features_low, row.features_high),
        (row.neurons_difference, row.neurons_low, row.neurons_high),
        (row.difference, row.low, row.high),
    )


def _ends(row: MeasureRow) -> list[float | None]:
    return [end for estimate in _estimates(row) for end in estimate]


def _panel(panel: Axes, rows: Sequence[MeasureRow | None]) -> None:
    for position, row in enumerate(rows):
        panel.axhline(position + 0.5, color=RULE, linewidth=0.5, zorder=0)
        if row is None:
            continue
        for (value, low, high), (colour, marker, shift) in zip(_estimates(row), _LOOKS.values(), strict=True):
            place = position + shift
            if low is not None and high is not None:
                panel.plot([low, high], [place] * 2, color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
            if value is not None:
                panel.plot([value], [place], marker=marker, markersize=4, color=colour, zorder=3)
        text = f"{with_interval(row.difference, row.low, row.high)}   Holm {p_text(row.p_holm)}"
        panel.text(1.02, position, text, transform=panel.get_yaxis_transform(), va="center", fontsize=7.3)
    panel.axvline(0, color=QUIET, linewidth=1.0, zorder=1)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
