"""Figure: what explanations predict on real text, token by token, for the best, median and worst unit of an arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from autointerp.compare.outcome import Outcome
from autointerp.compare.words import number
from autointerp.contexts.slices import Held, UnitKey, read_slices
from autointerp.plot.glyphs import columns, drawable, printable_line, write
from autointerp.plot.samples import Sample, samples_of
from autointerp.plot.style import PREDICTED, QUIET, RULE, TRUE
from autointerp.records import Status, Unscored
from autointerp.rows import Cell
from autointerp.score.predictions import Predictions
from autointerp.tables import read_arrow
from autointerp.units.arms import plain

_COLUMNS = 112
_MARGIN = 11  # columns left of the text, for the names of the rows
_SIZE = 8.8  # points
_ADVANCE = 0.602 * _SIZE / 72  # inches per column: every glyph of DejaVu Sans Mono is 0.602 of its size wide
_CONTEXTS = 3
_FAINTEST = 0.02  # of the highest value: paler would not be seen
_DEEPEST = 0.8  # of the colour, so that black text stays readable on it

Vector = Float[np.ndarray, " token"]


@dataclass(frozen=True)
class Strip:
    """A piece of a held-out context with what was true and what was predicted on it."""

    pieces: tuple[str, ...]
    """Drawable text of each token shown."""
    truth: Vector
    """In [0, 1]: share of the unit's highest activation on its contexts of the slice."""
    predicted: Vector
    """In [0, 1]: from the lowest to the highest prediction on the same contexts (its scale is not the truth's)."""


@dataclass(frozen=True)
class UnitStrips:
    """A unit with its strips."""

    sample: Sample
    explanation: str
    strips: tuple[Strip, ...]


class StripReader:
    """Reads the strips of an arm's sample units from the run's tables."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        run_dir: Path = outcome.run_dir
        self._slices = read_slices(run_dir, outcome.study.evidence)
        self._predictions = Predictions(run_dir)
        columns = ["unit", "replicate", "text", "status"]
        self._texts = {
            (row["unit"], row["replicate"]): row["text"] if row["status"] == Status.OK.value else ""
            for row in read_arrow(run_dir / "explanations.parquet", columns).to_pylist()
        }

    def predicted(self, key: UnitKey, cell: Cell) -> tuple[Held, Float[np.ndarray, "context token"]]:
        """The contexts of a unit that is scored in a cell, and what is predicted on them."""
        held = self._slices[key][cell.slice]
        predicted = self._predictions.on(key, cell.scorer, held)
        if isinstance(predicted, Unscored):
            return held, np.full(held.truth.shape, np.nan)
        return held, predicted

    def shown(self, arm: str) -> list[UnitStrips]:
        """The best, median and worst unit of an arm, in the headline's cell."""
        cell = self._outcome.headline
        found = []
        for sample in samples_of(self._outcome, cell, arm):
            key = (sample.unit, sample.replicate)
            held = self._slices[key][cell.slice]
            predicted = self._predictions.on(key, cell.scorer, held)
            if isinstance(predicted, np.ndarray):
                found.append(UnitStrips(sample, self._texts.get(key, ""), self._strips(held, predicted)))
        return found

    def _strips(self, held: Held, predicted: Float[np.ndarray, "context token"]) -> tuple[Strip, ...]:
        truth = held.truth / held.truth.max()
        guess = (predicted - predicted.min()) / (predicted.max() - predicted.min())
        chosen = _telling(truth, guess)
        wanted = [int(held.contexts[c]) for c in chosen]
        rows = read_arrow(
            self._outcome.run_dir / "contexts.parquet", ["context", "pieces"], filters=[("context", "in", wanted)]
        )
        pieces = {row["context"]: row["pieces"] for row in rows.to_pylist()}
        return tuple(_window(pieces[context], truth[c], guess[c]) for c, context in zip(chosen, wanted, strict=True))


def _telling(truth: Float[np.ndarray, "context token"], guess: Float[np.ndarray, "context token"]) -> list[int]:
    """The two contexts with the highest truth, and of the rest the one with the highest prediction (false alarms)."""
    order = [int(c) for c in np.argsort(-truth.max(axis=1), kind="stable")]
    chosen, rest = order[: _CONTEXTS - 1], order[_CONTEXTS - 1 :]
    return chosen + sorted(rest, key=lambda c: -float(guess[c].max()))[:1]


def _window(pieces: list[str], truth: Vector, guess: Vector) -> Strip:
    """The tokens around the strongest point, as many as fit in a row."""
    shown = [drawable(piece, others=True) for piece in pieces]
    first = last = int(np.argmax(truth + 0.5 * guess))
    before, after, room = 0, 0, _COLUMNS - columns(shown[first])
    while True:
        left = first > 0 and before + after + columns(shown[first - 1]) <= room
        right = last + 1 < len(shown) and before + after + columns(shown[last + 1]) <= room
        if left and (before <= after or not right):
            first -= 1
            before += columns(shown[first])
        elif right:
            last += 1
            after += columns(shown[last])
        else:
            break
    kept = [piece[:_COLUMNS] for piece in shown[first : last + 1]]
    return Strip(tuple(kept), truth[first : last + 1], guess[first : last + 1])


def strips(shown: list[UnitStrips], arm: str) -> Figure:
    """Per unit: its explanation and score, then contexts, each as a row of truth over a row of prediction."""
    lines = sum(2.0 + 2.55 * len(unit.strips) for unit in shown)
    height = 0.78 + 0.178 * lines
    figure = Figure(figsize=((_MARGIN + _COLUMNS + 1) * _ADVANCE, height))
    panel = figure.add_axes((0.0, 0.0, 1.0, 1 - 0.62 / height))
    panel.set_xlim(-_MARGIN, _COLUMNS + 1)
    panel.set_ylim(lines, 0)
    panel.axis("off")
    figure.text(0.012, 1 - 0.22 / height, f"{plain(arm)[0].upper()}{plain(arm)[1:]}: true and predicted activations",
                fontsize=12, fontweight="bold", va="center")  # fmt: skip
    figure.text(0.012, 1 - 0.47 / height, "held-out text around each context's peak; colour from none to the highest "
                "value on the unit's scored contexts", fontsize=8, color=QUIET, va="center")  # fmt: skip
    place = 0.0
    for unit in shown:
        place = _unit(panel, unit, place)
    return figure


def _unit(panel: Axes, unit: UnitStrips, place: float) -> float:
    sample = unit.sample
    start = 1 - _MARGIN
    panel.plot([start, _COLUMNS], [place + 0.1] * 2, color=RULE, linewidth=0.8)
    title = drawable(f"{sample.rank:6} {number(sample.value):>5}  {sample.unit}  ")
    text = printable_line(unit.explanation, _COLUMNS - start - len(title) - 2, others=True)
    font: dict[str, Any] = {"fontsize": _SIZE, "va": "center"}
    write(panel, start, place + 0.95, title, fontweight="bold", **font)
    write(panel, start + len(title), place + 0.95, f"\u201c{text}\u201d", fontstyle="italic", **font)
    place += 1.75
    for strip in unit.strips:
        _row(panel, strip.pieces, strip.truth, place, TRUE, "true")
        _row(panel, strip.pieces, strip.predicted, place + 1.06, PREDICTED, "predicted")
        place += 2.55
    return place + 0.25


def _row(panel: Axes, pieces: tuple[str, ...], values: Vector, place: float, colour: str, name: str) -> None:
    panel.text(-0.6, place + 0.5, name, fontsize=7.5, color=colour, ha="right", va="center")
    ends = np.cumsum([columns(piece) for piece in pieces])
    starts = ends - [columns(piece) for piece in pieces]
    drawn = [(a, b, v) for a, b, v in zip(starts, ends, values, strict=True) if b > a and v >= _FAINTEST]
    boxes = [Rectangle((float(a), place), float(b - a), 1.0) for a, b, _ in drawn]
    depth = np.array([v for *_, v in drawn], dtype=np.float64)[:, None] * _DEEPEST
    paper = np.array(to_rgb(rcParams["figure.facecolor"]))
    panel.add_collection(
        PatchCollection(boxes, facecolors=paper + depth * (np.array(to_rgb(colour)) - paper), linewidths=0)
    )
    write(panel, 0, place + 0.52, "".join(pieces), fontsize=_SIZE, va="center")
