"""What more units, replicates and hours would find, from a run's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.compare.outcome import read_outcome
from autointerp.compare.planning import planned_lines, power_lines
from autointerp.compare.replicates import VARIANCE
from autointerp.errors import BadInput
from autointerp.metrics.power import planned_error, smallest_difference, units_for
from autointerp.run.manifest import StageEntry, write_manifest
from autointerp.tables import write_table
from autointerp.variance_rows import VarianceRow
from tests.fake_run import Plan, finished, scores_by, study_of
from tests.forked import command_line

PLAN = Plan(quality={"feature": 0.9, "neuron": 0.5}, settings={"score": {"metrics": ["pearson"]}})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished(tmp_path / "run", PLAN)


def spreads(run: Path) -> tuple[float, float]:
    scores = scores_by(run, scorer="lift", metric="pearson", slice="top-and-random", pairing="own")
    first, second = (
        [value for unit, value in scores.items() if unit.startswith(f"{arm}/")] for arm in ("feature", "neuron")
    )
    return float(np.std(first, ddof=1)), float(np.std(second, ddof=1))


def test_the_lines_hold_what_the_formulas_give_for_the_spread_of_the_runs_scores(run: Path) -> None:
    first, second = spreads(run)
    rows = [line.split() for line in power_lines(read_outcome(run), 0.1, None, None)]
    found = smallest_difference(*planned_error(first, second, 24, 0.04, 5))
    (row,) = (row for row in rows if row[:2] == ["24", "5"])
    assert row[4] == f"{found:.2f}"
    (alone,) = (row for row in rows if row[:2] == ["12", "1"])
    assert alone[2:] == [f"{smallest_difference(*planned_error(first, second, 12)):.2f}", "–", "–", "–"]
    wanted = [units_for(0.1, first, second, tau, 3) for tau in (0.0, 0.02, 0.04, 0.06)]
    assert ["3", *("none" if units is None else f"{units:,}" for units in wanted)] in rows


def test_the_best_split_is_of_the_time_that_the_stages_took(run: Path) -> None:
    assert "the manifest doesn't tell" in " ".join(power_lines(read_outcome(run), 0.1, None, None))
    seconds = {
        "corpus": 30.0,
        "train": 250.0,
        "train permuted-0": 200.0,
        "explain": 60.0,
        "score": 12.0,
        "compare": 9.0,
    }
    write_manifest(run, {name: StageEntry("", {}, facts={"seconds": spent}) for name, spent in seconds.items()})
    text = "\n".join(power_lines(read_outcome(run), 0.1, 0.03, 2.0))
    assert "The best split of 2 hours" in text
    assert "takes 480 s (corpus, train and train permuted-0), and 6.0 s for each unit in every arm" in text
    last = text.splitlines()[-1].split()
    assert int(last[1]) * (480 + 6 * int(last[2])) <= 7200


def test_what_replicates_vary_by_is_taken_from_their_table(run: Path) -> None:
    blank = VarianceRow("lift", "pearson", "top-and-random", "feature", "neuron", "", None, None)
    parts = {"unit": 0.04, "replicate": 0.03**2, "residual": 0.01}
    rows = [replace(blank, component=part, value=value) for part, value in parts.items()]
    write_table("variance", run / VARIANCE, rows)
    text = "\n".join(power_lines(read_outcome(run), 0.1, None, None))
    assert "varies between replicates by 0.03 (a standard deviation)" in text
    assert "was not measured" not in text
    assert "varies by 0.06" not in text


def test_a_run_without_both_arms_is_refused_and_the_verb_prints_the_lines(run: Path, tmp_path: Path) -> None:
    lonely = finished(tmp_path / "lonely", Plan(quality={"feature": 0.9}, units=3, settings=PLAN.settings))
    with pytest.raises(BadInput, match="has no features and neurons with two scored units each"):
        list(power_lines(read_outcome(lonely), 0.1, None, None))
    code, out, _ = command_line(tmp_path, "power", str(run), "--tau", "0.02")
    assert code == 0
    assert out.splitlines() == list(power_lines(read_outcome(run), 0.1, 0.02, None))


def test_before_a_run_the_spread_is_the_references_and_after_it_the_folders_own(run: Path, tmp_path: Path) -> None:
    study = study_of(PLAN)
    (line,) = planned_lines(study, tmp_path / "none")
    expected = smallest_difference(*planned_error(0.19, 0.27, 64))
    assert f"With 64 features and 64 neurons a difference of {expected:.2f} is found with 80% power" in line
    assert "in the reference run on top and random contexts" in line
    (line,) = planned_lines(study, run)
    assert f"a difference of {smallest_difference(*planned_error(*spreads(run), 64)):.2f} is found" in line
    assert list(planned_lines(study_of(Plan(settings={"units": {"features": 0}})), tmp_path)) == []
