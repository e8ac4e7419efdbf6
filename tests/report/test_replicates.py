"""What the report says of several replicates, on the run that was worked out by hand and replicates that are given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.replicates import DRAW, ERROR, MEAN, REPLICATE, VARIANCE
from autointerp.plot.replicates import replicates
from autointerp.report.answer import answer
from autointerp.report.replicates import section
from autointerp.tables import write_table
from autointerp.variance_rows import VarianceRow
from tests.hand_run import hand_run

ENDS = {0.01: (-1.9, -0.1), 0.3: (-2.5, 0.5)}
"""Interval of the difference on random contexts, by its p."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of three replicates that draw the explanations anew; nothing has held them together yet."""
    found = read_outcome(hand_run(tmp_path_factory.mktemp("run")))
    compare = found.study.compare.model_copy(update={"replicates": 3, "redraw": ("explain",)})
    return replace(found, study=found.study.model_copy(update={"compare": compare}))


def _rows(outcome: Outcome, p: float) -> Iterator[VarianceRow]:
    low, high = ENDS[p]
    for name, ends in (("top-and-random", (-0.5, 0.1)), ("random-only", (low, high))):
        cell = outcome.headline
        blank = VarianceRow(cell.scorer, cell.metric, name, "feature", "neuron", MEAN, None, -0.2, replicates=3)
        for number, value in enumerate((-0.1, -0.2, -0.3)):
            yield replace(blank, component=DRAW, replicate=number, value=value, low=value - 0.1, high=value + 0.1)
        yield replace(blank, low=ends[0], high=ends[1], p=p if name == "random-only" else 0.2)
        yield replace(blank, component=ERROR, value=0.04)
        yield replace(blank, component=REPLICATE, value=0.0009, low=0.0, high=0.25)


def test_no_difference_is_claimed_that_replicates_do_not_show(outcome: Outcome) -> None:
    path: Path = outcome.run_dir / VARIANCE
    said = {}
    for p in ENDS:
        write_table("variance", path, _rows(outcome, p))
        said[p] = next(line for line in answer(outcome) if line.startswith("On random contexts alone"))
    path.unlink()
    assert "SAE features are less interpretable than neurons" in said[0.01]
    assert "less interpretable" not in said[0.3]
    assert "not shown over 3 replicates: −0.20 [−2.50, 0.50], p = 0.300" in said[0.3]


def test_the_answer_has_the_spread_between_replicates_beside_that_of_units(outcome: Outcome) -> None:
    path: Path = outcome.run_dir / VARIANCE
    assert section(outcome) == "", "not held together yet"
    assert replicates(outcome) is None
    write_table("variance", path, _rows(outcome, 0.01))
    lines, text, figure = answer(outcome), section(outcome), replicates(outcome)
    path.unlink()
    assert lines[0].endswith(
        " Over 3 replicates, explain drawn anew: SAE features minus neurons −0.20 [−0.50, 0.10], p = 0.200; it varies "
        "between replicates with a standard deviation of 0.030 [0.000, 0.500], beside 0.200 that the units give by "
        "chance in one."
    )
    assert "| −0.10, −0.20, −0.30 | 0.030 [0.000, 0.500] | 0.200 |" in text
    assert figure is not None
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == [
        *(f"SAE features minus neurons, replicate {number}" for number in range(3)),
        "mean of 3 replicates",
    ]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in figure.axes[0].get_lines()]
    assert drawn[:2] == [pytest.approx([-0.2, 0.0]), [-0.1]]
    assert [-0.5, 0.1] in drawn
