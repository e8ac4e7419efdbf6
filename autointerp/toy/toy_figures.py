"""Figures of toy models: W'W and directions over densities, dimensions per feature, phases, and what SAEs recover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from autointerp.plot.style import INK, PREDICTED, QUIET, RULE, TRUE, house_style, save
from autointerp.toy.experiment import ToyResults
from autointerp.toy.phases import BOTH, FIRST, NEITHER, SECOND
from autointerp.toy.toy_tables import LINEAR, RELU, UNTRAINED_MODEL, weights_of
from autointerp.toy.trying_saes import ANOTHER, FROZEN, IDEAL, INDEPENDENT, PRINCIPAL, RANDOM, TRAINED, UNTRAINED

FIGURES = ("superposition", "plateaus", "phases", "recovery")
_PHASES = {FIRST: "#56b4e9", SECOND: "#e69f00", BOTH: "#009e73", NEITHER: "#e4e4e4"}


def draw_toys(results: ToyResults, folder: Path) -> list[Path]:
    """Write every figure as SVG and PNG."""
    with house_style():
        made = (superposition(results), plateaus(results), phases(results), recovery(results))
        return [path for name, figure in zip(FIGURES, made, strict=True) for path in save(figure, folder, name)]


def superposition(results: ToyResults) -> Figure:
    """A column per density: W'W of the model of the least loss, and in two dimensions its directions."""
    sweep = results.features[results.features["part"] == "sweep"]
    densities = list(dict.fromkeys(sweep["density"]))
    relu, flat = sweep[sweep["model"] == RELU], results.study.sweep.hidden == 2
    figure = Figure(figsize=(max(6.4, 2.7 * len(densities)), 6.0 if flat else 3.4), layout="constrained")
    axes = figure.subplots(2 if flat else 1, len(densities), squeeze=False)
    for place, density in enumerate(densities):
        here = relu[relu["density"] == density]
        seed = here.loc[here["loss"].idxmin(), "seed"]
        weights = weights_of(here[here["seed"] == seed])
        geometries = here.drop_duplicates("seed")["geometry"]
        shown = str(geometries[here.drop_duplicates("seed")["seed"] == seed].iloc[0])
        top: Any = axes[0, place]
        image = top.imshow(weights.T @ weights, cmap="RdBu_r", vmin=-1, vmax=1)
        top.set(xticks=[], yticks=[])
        top.set_title(f"present {density:g}\n{shown}\n{(geometries == shown).sum()} of {len(geometries)} seeds",
                      fontsize=8.5)  # fmt: skip
        if flat:
            _directions(axes[1, place], weights)
    figure.colorbar(image, ax=axes[0, -1], shrink=0.8)
    figure.suptitle("W'W and directions of the features, least loss of all seeds", fontsize=12, fontweight="bold")
    return figure


def _directions(axis: Any, weights: np.ndarray) -> None:
    for feature in range(weights.shape[1]):
        x, y = weights[:, feature]
        axis.plot([0, x], [0, y], color=TRUE, linewidth=1.6, alpha=0.85)
        axis.plot([x], [y], marker="o", markersize=5, color=TRUE)
        if np.hypot(x, y) > 0.2:
            axis.text(1.2 * x, 1.2 * y, str(feature + 1), ha="center", va="center", fontsize=8)
    axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect="equal")
    axis.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    axis.axvline(0, color=RULE, linewidth=0.7, zorder=0)


def plateaus(results: ToyResults) -> Figure:
    """Left: hidden dimensions per feature; right: every feature's own dimensions."""
    figure = Figure(figsize=(11.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    table = results.summary[(results.summary["part"] == "plateaus") & (results.summary["measure"] == "per feature")]
    found = table[table["what"] == RELU]
    x = 1 / found["density"].to_numpy()
    left.plot(x, found["value"], color=TRUE, marker="o")
    ends = [found[name].fillna(found["value"]).to_numpy(dtype=float) for name in ("low", "high")]
    left.fill_between(x, *ends, color=TRUE, alpha=0.2, linewidth=0)
    left.set(xscale="log", xlabel="1 / probability that a feature is present", ylabel="hidden dimensions / |W|\u00b2")
    left.set_title("Dimensions per feature (band: 95% over seeds)", loc="left", fontweight="bold")
    rows = results.features[(results.features["part"] == "plateaus") & results.features["represented"]]
    for model, colour, marker, label in (
        (UNTRAINED_MODEL, QUIET, "x", "random directions, same |W|"), (RELU, TRUE, ".", "trained"),
    ):  # fmt: skip
        of = rows[rows["model"] == model]
        right.plot(1 / of["density"], of["dimensions"], marker, color=colour, alpha=0.35, markersize=5, label=label)
    for value, name in ((1, "own"), (0.75, "tetrahedron"), (2 / 3, "triangle"), (0.5, "pair"), (0.4, "pentagon"),
                        (0.375, "antiprism")):  # fmt: skip
        right.axhline(value, color=RULE, linewidth=0.8, zorder=0)
        right.text(1.01, value, name, transform=right.get_yaxis_transform(), va="center", fontsize=7, color=QUIET)
    right.set(xscale="log", xlabel="1 / probability that a feature is present", ylim=(0, 1.08))
    for axis in (left, right):
        axis.xaxis.set_major_formatter("{x:g}")  # else powers, as mathematics
    right.set_title("Each represented feature", loc="left", fontweight="bold")
    right.legend(frameon=False, loc="upper right")
    return figure


def phases(results: ToyResults) -> Figure:
    """What the seed of the least loss finds, beside what has the least loss by formula."""
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    names = list(_PHASES)
    for axis, column, title in zip(
        figure.subplots(1, 2), ("found", "theory"), ("Training (least loss of the seeds)", "Least loss by formula"),
        strict=True,
    ):  # fmt: skip
        best = results.phases.loc[results.phases.groupby(["ratio", "density"])["loss"].idxmin()]
        cells = best.set_index(["ratio", "density"])[column].map(names.index)
        grid = cells.unstack("density")
        axis.imshow(
            grid, cmap=ListedColormap(list(_PHASES.values())), vmin=-0.5, vmax=3.5, origin="lower", aspect="auto"
        )
        axis.set_xticks(range(grid.shape[1]), [f"{p:g}" for p in grid.columns])
        axis.set_yticks(range(grid.shape[0]), [f"{r:g}" for r in grid.index])
        axis.set(xlabel="probability that a feature is present", ylabel="importance of the second over the first")
        axis.set_title(title, loc="left", fontweight="bold")
    handles = [figure.axes[0].plot([], [], "s", color=colour, label=name)[0] for name, colour in _PHASES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def recovery(results: ToyResults) -> Figure:
    """Share recovered, and what a perfect and a wrong explanation of the matched latents score."""
    figure = Figure(figsize=(12.0, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    lines = recovery_lines(results)
    for place, (what, toy, _) in enumerate(lines):
        null = toy != TRAINED or what in (RANDOM, FROZEN, PRINCIPAL, INDEPENDENT)
        colour = INK if what == IDEAL else QUIET if null else TRUE
        _point(left, results.of("recovery", what, "recovered", toy=toy), place, colour)
        _point(right, results.of("recovery", what, "correlation", toy=toy), place, colour)
        _point(right, results.of("recovery", what, "other", toy=toy), place, PREDICTED, "x")
    left.set_yticks(range(len(lines)), [label for *_, label in lines])
    left.invert_yaxis()
    left.set(xlim=(-0.03, 1.03), xlabel="share of the features recovered (cosine of 0.9 or more)")
    right.set(xlabel="correlation with the true feature (x: with other features)")
    left.set_title("Features recovered", loc="left", fontweight="bold")
    right.set_title("What a perfect explanation would score", loc="left", fontweight="bold")
    figure.suptitle(f"SAEs on {results.study.recovery.toys} toy models (line: 95% over models)", fontsize=12,
                    fontweight="bold")  # fmt: skip
    return figure


def _point(axis: Any, row: pd.Series | None, place: int, colour: str, marker: str = "o") -> None:
    if row is None:
        return
    if pd.notna(row["low"]):
        axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.6)
    axis.plot([row["value"]], [place], marker, color=colour, markersize=5)


def recovery_lines(results: ToyResults) -> list[tuple[str, str, str]]:
    """Method, toy, and label, in the order in which they are shown: SAEs, the truth, then what is no SAE's merit."""
    names = results.study.recovery.architectures
    return [
        *((name, TRAINED, name) for name in names), (IDEAL, TRAINED, "true directions, linear"),
        *((name, TRAINED, name) for name in (RANDOM, FROZEN, PRINCIPAL, INDEPENDENT)),
        *((name, ANOTHER, f"{name}, of another model") for name in names),
        *((name, UNTRAINED, f"{name}, random geometry") for name in names),
    ]  # fmt: skip


__all__ = ["FIGURES", "LINEAR", "draw_toys", "recovery_lines"]
