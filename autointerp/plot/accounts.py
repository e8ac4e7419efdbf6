"""Figure: what a run covers and what it cost: units that were scored or not, tokens that were paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autointerp.compare.outcome import Outcome
from autointerp.contexts.slices import slice_words
from autointerp.plot.glyphs import printable_line
from autointerp.plot.style import PREDICTED, RULE, TRUE, colour_of, pt
from autointerp.tables import read_table
from autointerp.units.arms import plain

_LONGEST = 40


def coverage_and_cost(outcome: Outcome) -> Figure:
    """Left: scored, unscored and excluded units by arm and slice; right: tokens by stage and model, where any were."""
    bars = coverage_bars(outcome)
    spent = cost_bars(outcome)
    rows = max(len(bars), 2 * len(spent))
    figure = Figure(figsize=(6.4 if spent.empty else 12.0, 1.5 + 0.24 * rows), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, 1 if spent.empty else 2, squeeze=False)[0]
    _coverage(axes[0], bars)
    if not spent.empty:
        _cost(axes[1], spent)
    figure.suptitle("What was scored" + ("" if spent.empty else ", and what was asked of language models"),
                    fontsize=pt(12), fontweight="bold")  # fmt: skip
    return figure


def coverage_bars(outcome: Outcome) -> pd.DataFrame:
    """A row per slice and arm: `label`, `arm`, `scored`, `unscored`, `excluded` (0 where it is not known)."""
    found = [
        (f"{plain(arm)}, {slice_words(name)}", arm, row.n, row.unscored, row.excluded or 0)
        for name in outcome.drawn_slices
        for arm in outcome.arms
        if (row := outcome.row(replace(outcome.headline, slice=name), arm)) is not None
    ]
    return pd.DataFrame(found, columns=["label", "arm", "scored", "unscored", "excluded"])


def cost_bars(outcome: Outcome) -> pd.DataFrame:
    """A row per stage and model that was asked: `label`, `in`, `out` (tokens)."""
    path = outcome.run_dir / "usage.parquet"
    usage = read_table(path, ["stage", "model", "input_tokens", "output_tokens"]) if path.is_file() else None
    rows = [] if usage is None else [
        (printable_line(f"{row['stage']}, {row['model']}", _LONGEST), row["input_tokens"], row["output_tokens"])
        for _, row in usage.iterrows()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "in", "out"])


def _coverage(panel: Axes, bars: pd.DataFrame) -> None:
    places, start = np.arange(len(bars)), np.zeros(len(bars))
    colours = [colour_of(arm) for arm in bars["arm"]]
    for name, look in (("scored", {"color": colours}), ("unscored", {"facecolor": "white", "edgecolor": colours}),
                       ("excluded", {"color": RULE})):  # fmt: skip
        panel.barh(places, bars[name], left=start, height=0.7, linewidth=1.0, **look)
        start += bars[name].to_numpy(dtype=np.float64)
    for place, (scored, unscored, excluded) in enumerate(bars[["scored", "unscored", "excluded"]].to_numpy()):
        said = [
            f"{scored}",
            *([f"{unscored} unscored"] if unscored else []),
            *([f"{excluded} excluded"] if excluded else []),
        ]
        panel.text(start[place], place, f" {', '.join(said)}", va="center", fontsize=pt(7.5))
    panel.set_yticks(places, bars["label"], fontsize=pt(8))
    panel.set_ylim(len(bars) - 0.4, -0.6)
    panel.set_xlim(0, max(start.max(), 1) * 1.35)
    panel.set_xlabel("units: scored (full), unscored (outline), excluded before sampling (grey)")
    panel.set_title("Coverage", loc="left", fontweight="bold")


def _cost(panel: Axes, spent: pd.DataFrame) -> None:
    places = np.arange(len(spent), dtype=np.float64)
    for aside, name, colour in ((-0.2, "in", TRUE), (0.2, "out", PREDICTED)):
        panel.barh(places + aside, spent[name], height=0.36, color=colour)
        for place, tokens in zip(places, spent[name], strict=True):
            panel.text(tokens, place + aside, f" {tokens:,.0f} {name}", va="center", fontsize=pt(7.5))
    panel.set_yticks(places, spent["label"], fontsize=pt(8))
    panel.set_ylim(max(len(spent), 3) - 0.4, -0.6)
    panel.set_xlim(0, max(float(spent[["in", "out"]].to_numpy().max()), 1.0) * 1.3)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.xaxis.set_major_formatter(lambda tokens, _: f"{tokens:,.0f}")
    panel.set_xlabel("tokens, as the endpoint counts them")
    panel.set_title("Cost", loc="left", fontweight="bold")
