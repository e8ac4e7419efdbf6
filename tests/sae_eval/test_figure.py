"""The figure of `sae eval`: every SAE in every panel, hostile and long names, values that are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import StepPatch
from PIL import Image

from autointerp.metrics.intervals import Interval
from autointerp.plot.style import house_style, save
from autointerp.sae_eval.figure import SaePoint, sae_eval

EDGES = tuple(bound / 4 - 8 for bound in range(33))


def point(name: str, l0: float, share: float) -> SaePoint:
    counts = [0] * 32
    counts[20], counts[24] = 10, 20
    return SaePoint(
        name=name, width=40, l0=l0, fvu=1 - share, against_zero=Interval(share, share - 0.1, share + 0.05),
        against_mean=Interval(share - 0.2), vectors=5000, dead_share=0.25, edges=EDGES, counts=counts,
    )  # fmt: skip


def words(path: Path) -> str:
    return "\n".join("".join(e.itertext()) for e in ElementTree.parse(path).iter() if e.tag.endswith("text"))


@pytest.mark.parametrize("values", [(8.0,), (8.0, 9.0), (8.0, 64.0, 500.0), (0.0, 3.0)])
def test_every_sae_is_in_every_panel(values: tuple[float, ...]) -> None:
    points = [point(f"sae-{number}", l0, 0.7) for number, l0 in enumerate(values)]
    with house_style():
        figure = sae_eval(points, 0.95)
        figure.canvas.draw()
    loss, variance, density = figure.axes
    for panel, per_point in ((loss, 3), (variance, 1)):  # a share, a second one, an interval
        at = {line: np.asarray(line.get_xdata()) for line in panel.lines}
        drawn = [line for line, x in at.items() if x[0] in values and len(x) <= 2]
        assert len([line for line in drawn if line.get_color() != "#6b6b6b"]) == per_point * len(points)
        low, high = panel.get_xlim()
        assert all(low <= value <= high for value in values)
    low, high = loss.get_ylim()
    assert low < 0.5
    assert high > 1
    for patch in density.patches:
        assert isinstance(patch, StepPatch)
        assert np.nansum(patch.get_data()[0]) == pytest.approx(0.75)  # the rest is silent
    colours = [to_rgba(line.get_color()) for line in figure.legends[0].get_lines()]
    assert len(set(colours)) == len(points)


def test_files_hold_names_and_say_what_is_missing(tmp_path: Path) -> None:
    points = [
        replace(point("owner/$x_1$\n<b>", 8.0, 0.7), against_mean=Interval(None, note="none")),
        point("x" * 100 + "/the-end", 9.0, 0.8),
    ]
    with house_style():
        vector, picture = save(sae_eval(points, 0.9), tmp_path, "sae_eval")
        before = vector.read_bytes(), picture.read_bytes()
        save(sae_eval(points, 0.9), tmp_path, "sae_eval")
    assert before == (vector.read_bytes(), picture.read_bytes())
    shown = words(vector)
    assert "$x_1$" in shown
    assert "x/the-end" in shown
    assert "x" * 60 not in shown
    assert "1 without a value" in shown
    assert "90% interval" in shown
    assert "25.0% of 40 latents silent" in shown
    with Image.open(picture) as image:
        assert image.width == 1500
        border = np.asarray(image.convert("L"))[:, [0, -1]]
        assert (border == 255).all()  # nothing runs off the sides
