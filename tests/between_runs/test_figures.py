"""The figures and the page show the numbers of the table, and hostile names as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autointerp.between_runs.compared import ComparedRuns, compared_runs
from autointerp.between_runs.figures import distribution_by_run, forest_of_runs
from autointerp.between_runs.page_of_runs import page_of_runs
from autointerp.compare.words import with_interval
from autointerp.plot.style import house_style
from tests.between_runs.made import BETTER, EXPLAINER, PLAIN, made, values
from tests.fake_run import Plan

HOSTILE = "<b>$x_1$|`]("


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    plans = {
        "base": Plan(units=6, quality=PLAIN),
        HOSTILE: Plan(units=6, quality=BETTER, settings=EXPLAINER),
    }
    return [made(folder / name, plan) for name, plan in plans.items()]


@pytest.fixture(scope="module")
def compared(runs: list[Path]) -> ComparedRuns:
    return compared_runs(runs)


def _drawn(figure: Figure) -> list[Axes]:
    figure.draw_without_rendering()
    return list(figure.axes)


def test_each_line_of_the_forest_is_a_row_of_the_table(compared: ComparedRuns) -> None:
    with house_style():
        panels = _drawn(forest_of_runs(compared))
    assert [panel.get_title(loc="left") for panel in panels] == ["top and random contexts", "random contexts alone"]
    for panel, slice_name in zip(panels, ("top-and-random", "random-only"), strict=True):
        asked = [("feature", ""), ("neuron", ""), ("direction", ""), ("feature", "neuron")]
        rows = [compared.row(HOSTILE, arm, baseline, slice_name) for arm, baseline in asked]
        points = [line for line in panel.lines if line.get_marker() == "D"]
        spans = [line for line in panel.lines if line.get_marker() == "None" and line.get_linewidth() == 2.0]
        found = [float(np.asarray(line.get_xdata())[0]) for line in points]
        assert found == pytest.approx([row.difference for row in rows if row])
        ends = [np.asarray(line.get_xdata(), dtype=float).tolist() for line in spans]
        assert ends == [
            pytest.approx([row.difference_low, row.difference_high])
            for row in rows
            if row and row.difference_low is not None
        ]
        texts = [text.get_text() for text in panel.texts]
        for row, text in zip(rows, texts, strict=True):
            assert row is not None
            assert text.startswith(with_interval(row.difference, row.difference_low, row.difference_high))
            assert text.endswith("same 6")
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels[::2] == ["SAE features", "Neurons", "Random directions", "SAE features minus neurons"]
    assert set(labels[1::2]) == {HOSTILE}


def test_each_run_has_its_units_and_its_mean(compared: ComparedRuns, runs: list[Path]) -> None:
    with house_style():
        panel = _drawn(distribution_by_run(compared))[0]
    expected = [values(run, arm) for arm in PLAIN for run in runs]
    for points, scores in zip(panel.collections, expected, strict=True):
        assert np.asarray(points.get_offsets())[:, 0] == pytest.approx(np.sort(scores))
    means = [float(np.asarray(line.get_xdata())[0]) for line in panel.lines if line.get_marker() == "D"]
    assert means == pytest.approx([scores.mean() for scores in expected])


def test_the_page_has_every_row_and_no_markup_of_a_name(compared: ComparedRuns) -> None:
    page = page_of_runs(compared)
    assert "<b>" not in page.replace("\\<b", "")
    for row in compared.rows:
        shown = with_interval(row.difference, row.difference_low, row.difference_high)
        assert any(shown in line and with_interval(row.mean, row.low, row.high) in line for line in page.splitlines())
    assert page.count("\n| \\<b\\>") == len(compared.rows) + len(compared.differences[HOSTILE]) + 1
    assert page == page_of_runs(compared)
