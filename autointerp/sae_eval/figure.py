"""Figure: SAEs side by side: what their reconstructions keep, at what sparsity, and how rare their latents are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Affine2D, ScaledTranslation, Transform

from autointerp.metrics.intervals import Interval
from autointerp.plot.glyphs import drawable
from autointerp.plot.style import INK, PREDICTED, QUIET, RULE, TRUE

_COLOURS = (TRUE, PREDICTED, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b3294", INK)  # Okabe and Ito's, and two
_LONGEST = 44  # characters of a name that are shown, its end
_COLUMNS = 2
_ASIDE = 3.0  # points


@dataclass(frozen=True)
class SaePoint:
    """One SAE in the figure."""

    name: str
    width: int
    """Latents."""
    l0: float
    fvu: float
    against_zero: Interval
    """Share of the loss recovered against zero ablation."""
    against_mean: Interval
    vectors: int
    """That densities were counted over."""
    dead_share: float
    edges: Sequence[float]
    """Bounds of the density histogram's bins, log10."""
    counts: Sequence[int]
    """Latents in each bin."""


def sae_eval(points: Sequence[SaePoint], confidence: float) -> Figure:
    """Three panels: loss recovered and FVU over L0, and the latents' densities. One colour per SAE in all of them.

    `confidence`: of the points' intervals.
    """
    rows = -(-len(points) // _COLUMNS)
    figure = Figure(figsize=(12.5, 4.3 + 0.2 * rows), layout="constrained")
    loss, variance, density = figure.subplots(1, 3)
    coloured = [(point, _COLOURS[position % len(_COLOURS)]) for position, point in enumerate(points)]
    _loss(loss, coloured, figure.dpi_scale_trans)
    loss.set_ylabel(f"share recovered (line: {confidence:.0%} interval over contexts)")
    _variance(variance, coloured)
    _density(density, coloured)
    for panel in (loss, variance):
        _sparsity_axis(panel, [point.l0 for point in points])
    figure.suptitle("What the reconstructions keep, and how rare the latents are", fontsize=12, fontweight="bold")
    handles = [Line2D([], [], color=colour, linewidth=3, label=_label(point)) for point, colour in coloured]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(points), _COLUMNS), frameon=False)
    return figure


def _label(point: SaePoint) -> str:
    name = drawable(point.name)
    shown = name if len(name) <= _LONGEST else f"\u2026{name[1 - _LONGEST :]}"
    return f"{shown}  ({point.dead_share:.1%} of {point.width:,} latents silent)"


def _loss(panel: Axes, coloured: Sequence[tuple[SaePoint, str]], inches: Affine2D) -> None:
    for point, colour in coloured:
        # A little beside their place, so that the two of one SAE don't hide each other.
        for share, aside in ((point.against_zero, -_ASIDE), (point.against_mean, _ASIDE)):
            place = panel.transData + ScaledTranslation(aside / 72, 0, inches)
            _share(panel, point.l0, share, colour if aside < 0 else "white", colour, place)
    panel.axhline(1, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    panel.annotate("the untouched subject", (1, 1), xycoords=("axes fraction", "data"), xytext=(0, 3),
                   textcoords="offset points", ha="right", fontsize=7.5, color=QUIET)  # fmt: skip
    shares = [share for point, _ in coloured for share in (point.against_zero, point.against_mean)]
    bounds = [bound for share in shares for bound in (share.value, share.low, share.high) if bound is not None]
    low, high = min([0.9, *bounds]), max([1.0, *bounds])
    panel.set_ylim(low - 0.06 * (high - low), high + 0.08 * (high - low))
    panel.set_title("Cross-entropy loss recovered", loc="left", fontweight="bold")
    marks = [
        Line2D([], [], marker="o", linestyle="", color=QUIET, label="against zero ablation"),
        Line2D([], [], marker="o", linestyle="", color=QUIET, markerfacecolor="white", label="against mean ablation"),
    ]
    if missing := sum(share.value is None for share in shares):
        marks.append(Line2D([], [], linestyle="", label=f"{missing} without a value: see the table"))
    panel.legend(handles=marks, loc="best", frameon=False, fontsize=8)


def _share(panel: Axes, l0: float, share: Interval, face: str, colour: str, place: Transform) -> None:
    """Draw a share with its interval; nothing when there is none."""
    if share.value is None:
        return
    if share.low is not None and share.high is not None:
        panel.plot([l0, l0], [share.low, share.high], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2,
                   transform=place)  # fmt: skip
    panel.plot([l0], [share.value], marker="o", markersize=6.5, color=colour, markerfacecolor=face,
               markeredgewidth=1.4, zorder=3, transform=place)  # fmt: skip


def _variance(panel: Axes, coloured: Sequence[tuple[SaePoint, str]]) -> None:
    for point, colour in coloured:
        panel.plot([point.l0], [point.fvu], marker="o", markersize=6.5, color=colour, zorder=3)
    panel.set_ylim(bottom=0, top=1.12 * max(point.fvu for point, _ in coloured) or 1.0)
    panel.set_title("Variance left unexplained", loc="left", fontweight="bold")
    panel.set_ylabel("FVU (lower is better)")


def _sparsity_axis(panel: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > 3:
        panel.set_xscale("log")
        panel.set_xlim(low / 1.5, high * 1.5)
        panel.set_xticks(_round_ticks(low / 1.5, high * 1.5))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        panel.set_xlim(0, 1.25 * high if high else 1)
    panel.set_xlabel("L0: active latents per vector")
    panel.grid(axis="y", color=RULE, linewidth=0.6, zorder=0)
    panel.set_axisbelow(True)


def _round_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in (1, 2, 5) if low <= step * 10.0**decade <= high]


def _density(panel: Axes, coloured: Sequence[tuple[SaePoint, str]]) -> None:
    for point, colour in coloured:
        panel.stairs([count / point.width for count in point.counts], list(point.edges), color=colour, linewidth=1.6)
    once = sorted({-math.log10(point.vectors) for point, _ in coloured})
    for rarest in once:
        panel.axvline(rarest, color=QUIET, linewidth=0.9, linestyle=(0, (1, 2)), zorder=0)
    panel.annotate("active once", (once[0], 1), xycoords=("data", "axes fraction"), xytext=(3, 0),
                   textcoords="offset points", va="top", fontsize=7.5, color=QUIET)  # fmt: skip
    panel.set_xlim(once[0] - 0.3, 0.1)
    panel.set_ylim(bottom=0)
    most = max(point.vectors for point, _ in coloured)
    panel.set_title("How rare the latents are", loc="left", fontweight="bold")
    panel.set_xlabel(f"log10 of a latent's density on {most:,} vectors")
    panel.set_ylabel("share of the SAE's latents")
