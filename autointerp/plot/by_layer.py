"""Figure: mean scores by layer and by the width of the SAE, where a run has several of either."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital, metric_words
from autointerp.plot.style import colour_of, pt
from autointerp.rows import ComparisonRow
from autointerp.tables import read_table
from autointerp.units.arms import is_feature, ordered, plain
from autointerp.units.scrambled import subject_of


@dataclass(frozen=True)
class LayerPoint:
    """An arm of one hook."""

    row: ComparisonRow
    hook: str
    width: int | None
    """Latents of its SAE; None for what has none, or one whose width is not known."""


def layer_points(outcome: Outcome) -> list[LayerPoint]:
    """Every arm that has a mean, in the order of hooks; a scrambled subject's layer is no other layer of the run."""
    hooks = outcome.units.groupby("arm")[["hook", "sae"]].first()
    widths = _widths(outcome)
    found = []
    for arm in (arm for arm in outcome.arms if not subject_of(arm)):
        row = outcome.row(outcome.headline, arm)
        if row is not None and row.mean is not None and arm in hooks.index:
            hook, sae = (str(value) for value in hooks.loc[arm])
            found.append(LayerPoint(row, hook, widths.get(sae) if is_feature(arm) else None))
    return sorted(found, key=lambda point: _layer(point.hook))


def _widths(outcome: Outcome) -> dict[str, int]:
    path = outcome.run_dir / "sae.parquet"
    measured = read_table(path, ["sae", "width"]) if path.is_file() else None
    trained = {sae.name: sae.train.width for sae in outcome.study.sae if sae.train is not None}
    return trained if measured is None else dict(zip(measured["sae"], map(int, measured["width"]), strict=True))


def _layer(hook: str) -> tuple[int, str]:
    number = re.search(r"\d+", hook)
    return (int(number[0]) if number else -1, hook)


def by_layer_and_width(outcome: Outcome) -> Figure | None:
    """A panel over hooks where there are several, and one over widths where there are several; None without either."""
    points = layer_points(outcome)
    several_hooks = len({point.hook for point in points}) > 1
    wide = [point for point in points if point.width is not None]
    panels = several_hooks + (len({point.width for point in wide}) > 1)
    if not panels:
        return None
    figure = Figure(figsize=(5.4 * panels + 1.6, 4.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    if several_hooks:
        _by_hook(axes[0], points)
    if panels > several_hooks:
        _by_width(axes[-1], wide)
    for panel in axes:
        panel.set_ylabel(f"{capital(metric_words(outcome.headline.metric))}, mean")
    figure.suptitle("Scores by layer and width", fontsize=pt(12), fontweight="bold")
    return figure


def _by_hook(panel: Axes, points: Sequence[LayerPoint]) -> None:
    """A line per kind of unit, from hook to hook; where a hook has several arms of a kind, their names instead."""
    hooks = list(dict.fromkeys(point.hook for point in points))
    kinds = ordered(point.row.arm.partition(":")[0] for point in points)
    for number, kind in enumerate(kinds):
        of_kind = [point for point in points if point.row.arm.partition(":")[0] == kind]
        aside = (number - (len(kinds) - 1) / 2) * min(0.09, 0.6 / len(kinds))
        across = [hooks.index(point.hook) + aside for point in of_kind]
        alone = len(set(across)) == len(across)
        if alone:
            means = [point.row.mean or 0.0 for point in of_kind]
            panel.plot(across, means, color=colour_of(kind), linewidth=0.9, alpha=0.6)
        for place, point in zip(across, of_kind, strict=True):
            _point(panel, place, point, "" if alone else plain(point.row.arm))
        panel.plot([], [], "o-", color=colour_of(kind), markersize=5, label=plain(kind))
    panel.set_xticks(range(len(hooks)), hooks, rotation=20, ha="right")
    panel.set_xlim(-0.5, len(hooks) - 0.5)
    panel.set_title("by hook", loc="left", fontweight="bold")
    panel.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=3, frameon=False, fontsize=pt(8))


def _by_width(panel: Axes, wide: Sequence[LayerPoint]) -> None:
    for point in wide:
        _point(panel, float(point.width or 0), point, plain(point.row.arm))
    widths = sorted({int(point.width or 0) for point in wide})
    panel.set_xscale("log", base=2)
    panel.set_xlabel("latents of the SAE")
    panel.set_xticks(widths, [f"{width:,}" for width in widths])
    panel.set_xlim(widths[0] * 0.8, widths[-1] * 1.8)
    panel.set_title("features by width", loc="left", fontweight="bold")


def _point(panel: Axes, across: float, point: LayerPoint, name: str) -> None:
    row, colour = point.row, colour_of(point.row.arm)
    if row.low is not None and row.high is not None:
        panel.plot([across] * 2, [row.low, row.high], color=colour, linewidth=1.6)
    panel.plot([across], [row.mean or 0.0], "o", color=colour, markersize=5)
    if name:
        panel.annotate(name, (across, row.mean or 0.0), xytext=(5, 3), textcoords="offset points", fontsize=pt(7))
