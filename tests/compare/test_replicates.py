"""What several replicates found, held against plain loops over the scores that were made up for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autointerp.artifacts import rng_of
from autointerp.compare.replicates import VARIANCE, hold_replicates, stays
from autointerp.rows import ComparisonRow
from autointerp.study import Study
from autointerp.study_file import parse_study
from autointerp.tables import read_arrow, write_table
from autointerp.variance_rows import VarianceRow

UNITS, REPLICATES = 20, 4
Scores = list[dict[str, Mapping[str, float]]]


def study_of(*redraw: str, **more: Any) -> Study:
    return parse_study({"compare": {"replicates": REPLICATES, "redraw": list(redraw)}, **more})


def _score(unit: str, arm: str, value: float | None) -> dict[str, Any]:
    return {
        "unit": unit, "arm": arm, "pairing": "own", "explainer": "exemplars", "scorer": "reader", "metric": "pearson",
        "slice": "top-and-random", "replicate": 0, "value": value, "chance": 0.0, "n_tokens": 9, "n_contexts": 9,
        "status": "ok" if value is not None else "unscored", "reason": "" if value is not None else "silent",
    }  # fmt: skip


def _comparison(arm: str, baseline: str, low: float, high: float) -> ComparisonRow:
    alone = ComparisonRow(
        "reader", "pearson", "top-and-random", "all", "own", arm, baseline, 9, None, 0, 0, 1.0, "", 0.5,
        low, high, 0.5, None, None, 0.5, 0.0,
    )  # fmt: skip
    return replace(alone, low=None, high=None, difference_low=low, difference_high=high) if baseline else alone


def _written(folder: Path, study: Study, scores: Scores) -> list[dict[str, Any]]:
    folders = [folder / str(number) for number in range(len(scores))]
    for number, (place, draw) in enumerate(zip(folders, scores, strict=True)):
        rows = [_score(unit, arm, value) for arm, values in draw.items() for unit, value in values.items()]
        write_table("scores", place / "scores.parquet", [*rows, _score("feature/999", "feature", None)])
        intervals = [_comparison("feature", "", number, number + 1), _comparison("feature", "neuron", -number, number)]
        write_table("comparison", place / "comparison.parquet", intervals)
    hold_replicates(study, folders[0], folders)
    return [dict(vars(VarianceRow(**row))) for row in read_arrow(folders[0] / VARIANCE).to_pylist()]


def _drawn(same: bool) -> Scores:
    """Features and neurons with unit, replicate and residual effects; a neuron turns its orientation."""
    rng = rng_of("replicates", int(same))
    units = {arm: rng.normal(0, 0.2, UNITS) for arm in ("feature", "neuron")}
    found: Scores = []
    for number in range(REPLICATES):
        draw: dict[str, Mapping[str, float]] = {}
        for arm, mean in (("feature", 0.5), ("neuron", 0.3)):
            own = units[arm] if same else rng.normal(0, 0.2, UNITS)
            values = mean + rng.normal(0, 0.05) + own + rng.normal(0, 0.1, UNITS)
            sign = "" if arm == "feature" else "+-"[number % 2]
            first = 0 if same else 100 * number
            draw[arm] = {f"{arm}/{first + u}{sign}": float(value) for u, value in enumerate(values)}
        found.append(draw)
    return found


def _parts(rows: list[dict[str, Any]], arm: str, baseline: str) -> dict[str, dict[str, Any]]:
    return {
        row["component"]: row
        for row in rows
        if (row["arm"], row["baseline"]) == (arm, baseline) and row["component"] != "draw"
    }


def test_units_that_are_drawn_anew_are_in_the_spread_of_the_differences(tmp_path: Path) -> None:
    scores = _drawn(same=False)
    rows = _written(tmp_path, study_of("units"), scores)
    found = _parts(rows, "feature", "neuron")
    each = [fmean(draw["feature"].values()) - fmean(draw["neuron"].values()) for draw in scores]
    half = float(stats.t.ppf(0.975, REPLICATES - 1)) * (variance(each) / REPLICATES) ** 0.5
    mean = found["mean"]
    assert [mean["value"], mean["low"], mean["high"]] == pytest.approx(
        [fmean(each), fmean(each) - half, fmean(each) + half]
    )
    assert mean["p"] == pytest.approx(float(stats.ttest_1samp(each, 0).pvalue))
    within = fmean(sum(variance(draw[arm].values()) / UNITS for arm in ("feature", "neuron")) for draw in scores)
    assert found["error"]["value"] == pytest.approx(within)
    assert found["replicate"]["value"] == pytest.approx(max(0.0, variance(each) - within))
    draws = [row for row in rows if row["component"] == "draw" and row["baseline"] == "neuron"]
    assert [row["value"] for row in draws] == pytest.approx(each)
    assert [(row["low"], row["high"]) for row in draws] == [(-number, number) for number in range(REPLICATES)]
    of_arm = _parts(rows, "feature", "")
    assert set(of_arm) == {"mean", "error", "unit", "replicate"}
    assert of_arm["unit"]["value"] == pytest.approx(fmean(variance(draw["feature"].values()) for draw in scores))


def test_units_that_stay_the_same_widen_the_interval_and_are_met_again(tmp_path: Path) -> None:
    scores = _drawn(same=True)
    rows = _written(tmp_path, study_of("explain"), scores)
    each = [fmean(draw["feature"].values()) - fmean(draw["neuron"].values()) for draw in scores]
    alone = float(stats.t.ppf(0.975, REPLICATES - 1)) * (variance(each) / REPLICATES) ** 0.5
    mean = _parts(rows, "feature", "neuron")["mean"]
    assert mean["high"] - mean["value"] > 1.2 * alone
    table = np.array([list(draw["neuron"].values()) for draw in scores]).T
    left = table - table.mean(axis=1)[:, None] - table.mean(axis=0)[None, :] + table.mean()
    residual = float((left**2).sum()) / ((UNITS - 1) * (REPLICATES - 1))
    found = _parts(rows, "neuron", "")
    assert found["residual"]["value"] == pytest.approx(residual)
    assert found["unit"]["value"] == pytest.approx(variance(table.mean(axis=1)) - residual / REPLICATES)
    assert found["error"]["value"] == pytest.approx(residual / UNITS), "units that stay move no replicate's mean"
    assert found["icc"]["units"] == UNITS
    assert 0.25 < found["icc"]["low"] < found["icc"]["value"] < found["icc"]["high"] < 1
    ranks = [stats.spearmanr(table[:, a], table[:, b]).statistic for a in range(REPLICATES) for b in range(a)]
    assert found["rank"]["value"] == pytest.approx(fmean(ranks))


def test_half_of_the_units_met_again_count_for_a_quarter_of_the_shared_variance(tmp_path: Path) -> None:
    """Neurons of which half are the same under another SAE, beside features that are others."""
    scores = _drawn(same=True)
    for number, draw in enumerate(scores):
        names = list(draw["neuron"])
        draw["neuron"] = {
            name if place < UNITS // 2 else f"neuron/{1000 * (number + 1) + place}": draw["neuron"][name]
            for place, name in enumerate(names)
        }
    rows = _written(tmp_path, study_of("sae"), scores)
    found = _parts(rows, "neuron", "")
    table = np.array([list(draw["neuron"].values()) for draw in scores]).T
    half = table[: UNITS // 2]
    left = half - half.mean(axis=1)[:, None] - half.mean(axis=0)[None, :] + half.mean()
    residual = float((left**2).sum()) / ((len(half) - 1) * (REPLICATES - 1))
    shared = (variance(half.mean(axis=1)) - residual / REPLICATES) / len(half)
    apart = fmean(variance(draw["neuron"].values()) / UNITS for draw in scores)
    assert found["error"]["value"] == pytest.approx(apart - shared / 4)
    assert "icc" not in found
    assert "residual" not in _parts(rows, "feature", ""), "a feature of another SAE is another feature"


def test_a_replicate_in_which_nothing_is_scored_is_named(tmp_path: Path) -> None:
    scores = _drawn(same=True)
    scores[2]["neuron"] = {}
    rows = _written(tmp_path, study_of("explain"), scores)
    for arm, baseline in (("neuron", ""), ("feature", "neuron")):
        found = _parts(rows, arm, baseline)
        assert set(found) == {"mean"}
        assert found["mean"]["value"] is None
        assert found["mean"]["note"] == "nothing could be scored in replicate 2"
    assert _parts(rows, "feature", "")["mean"]["units"] == UNITS


def test_a_name_means_the_same_unit_as_far_as_what_made_it_stays() -> None:
    loaded = {"sae": [{"checkpoint": "somewhere"}]}
    assert stays(study_of("explain", "evidence", "simulate"), "feature")
    assert stays(study_of("sae"), "neuron")
    assert not stays(study_of("sae"), "feature")
    assert not stays(study_of("sae"), "noise")
    assert not stays(study_of("corpus"), "feature")
    assert stays(study_of("corpus", **loaded), "feature")
    assert stays(study_of("corpus"), "neuron-sparse")
    assert not stays(study_of("units"), "direction")
    trained = {"subject": {"train": {}}, "corpus": {"source": "x.txt"}}
    assert not stays(study_of("corpus", **trained), "neuron")
