"""Figure: mean scores by layer and by the width of the SAE, where a run has several of either."""

from __future__ import annotations

import re
from dataclasses import dataclass

from matplotlib.figure import Figure

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import capital, metric_words
from autointerp.plot.style import colour_of, pt
from autointerp.rows import ComparisonRow
from autointerp.tables import read_table
from autointerp.units.arms import is_feature, plain
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
    hooks = list(dict.fromkeys(point.hook for point in points))
    wide = [point for point in points if point.width is not None]
    panels = [
        name for name, several in (("hook", len(hooks) > 1), ("width", len({p.width for p in wide}) > 1)) if several
    ]
    if not panels:
        return None
    figure = Figure(figsize=(5.4 * len(panels) + 1.6, 4.4), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        shown = points if name == "hook" else wide
        for number, point in enumerate(shown):
            place = float(hooks.index(point.hook)) if name == "hook" else float(point.width or 0)
            aside = (number % 5 - 2) * 0.05
            across = place + aside if name == "hook" else place
            row = point.row
            if row.low is not None and row.high is not None:
                panel.plot([across] * 2, [row.low, row.high], color=colour_of(row.arm), linewidth=1.6)
            panel.plot([across], [row.mean or 0.0], "o", color=colour_of(row.arm), markersize=5)
            label = plain(row.arm)
            panel.annotate(label, (across, row.mean or 0.0), xytext=(5, 3), textcoords="offset points", fontsize=pt(7))
        if name == "hook":
            panel.set_xticks(range(len(hooks)), hooks, rotation=20, ha="right")
            panel.set_xlim(-0.5, len(hooks) - 0.2)
        else:
            panel.set_xscale("log", base=2)
            panel.set_xlabel("latents of the SAE")
            widths = sorted({int(point.width or 0) for point in wide})
            panel.set_xticks(widths, [f"{width:,}" for width in widths])
            panel.set_xlim(widths[0] * 0.8, widths[-1] * 1.8)
        panel.set_ylabel(f"{capital(metric_words(outcome.headline.metric))}, mean")
        panel.set_title("by hook" if name == "hook" else "features by width", loc="left", fontweight="bold")
    figure.suptitle("Scores by layer and width", fontsize=pt(12), fontweight="bold")
    return figure
