"""Figures with a point per unit, of layers, coverage and cost: what is drawn is what the tables say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.plot.accounts import coverage_and_cost, coverage_bars
from autointerp.plot.by_layer import by_layer_and_width
from autointerp.plot.by_unit import against_evidence, own_against_shuffled, reliability, stepped_up
from autointerp.plot.strips import StripReader
from autointerp.plot.style import house_style
from autointerp.tables import read_table
from autointerp.units.arms import plain
from tests.fake_run import Plan, finished

LESS = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = Plan(
        quality={"feature": 0.9, "neuron": 0.4}, evidence_top=10, evidence_random=8, unexplained=["neuron/1+"],
        settings=LESS,
    )  # fmt: skip
    return finished(tmp_path_factory.mktemp("run"), plan)


@pytest.fixture(scope="module")
def outcome(run: Path) -> Outcome:
    return read_outcome(run)


def drawn(figure: Figure | None, panel: int, arm: str) -> np.ndarray:
    """The points of an arm, in the order of their coordinates."""
    assert figure is not None
    for points in figure.axes[panel].collections:
        if str(points.get_label()).startswith(f"{plain(arm)} ("):
            found: Any = points.get_offsets()
            return np.array(sorted(map(tuple, np.asarray(found))))
    raise AssertionError(arm)


def scores(run: Path, pairing: str, scorer: str = "lift") -> "pd.Series[float]":
    rows = read_table(run / "scores.parquet")
    kept = rows[(rows["pairing"] == pairing) & (rows["scorer"] == scorer) & (rows["status"] == "ok")]
    return kept.set_index("unit")["value"].astype(float)


def by_hand(across: Any, up: "pd.Series[float]", arm: str) -> np.ndarray:
    units = [unit for unit in up.index if unit.startswith(f"{arm}/") and unit in across.index]
    return np.array(sorted((float(across[unit]), float(up[unit])) for unit in units if across[unit] == across[unit]))


@pytest.mark.parametrize("arm", ["feature", "neuron"])
def test_scores_stand_over_density_and_entropy_of_the_tables(run: Path, outcome: Outcome, arm: str) -> None:
    with house_style():
        figure = against_evidence(outcome)
    density = read_table(run / "units.parquet").set_index("unit")["density"]
    entropy = read_table(run / "covariates.parquet").set_index("unit")["peak_entropy"]
    for panel, across in enumerate((density, entropy)):
        expected = by_hand(across, scores(run, "own"), arm)
        assert len(expected) == 12 - (arm == "neuron")
        np.testing.assert_allclose(drawn(figure, panel, arm), expected, rtol=1e-9)


def test_each_unit_stands_at_its_own_score_over_its_shuffled_one(run: Path, outcome: Outcome) -> None:
    with house_style():
        figure = own_against_shuffled(outcome)
    for arm in ("feature", "neuron"):
        expected = by_hand(scores(run, "shuffled"), scores(run, "own"), arm)
        assert len(expected) > 8
        np.testing.assert_allclose(drawn(figure, 0, arm), expected)


def test_the_halves_are_scored_from_simulations_and_truth_by_hand(run: Path, outcome: Outcome) -> None:
    with house_style():
        figure = reliability(outcome, StripReader(outcome))
    evidence = read_table(run / "evidence.parquet")
    every = read_table(run / "simulations.parquet")
    simulated = every[every["simulator"] == "lift"].set_index(["unit", "context"])["predicted"]
    expected = []
    for unit in scores(run, "own").index:
        if not unit.startswith("feature/"):
            continue
        rows = evidence[(evidence["unit"] == unit) & (evidence["context"] >= 40)]
        contexts = [*rows[rows["kind"] == "top"]["context"], *rows[rows["kind"] == "random"]["context"][:3]]
        contexts = list(dict.fromkeys(contexts))
        truth = rows.drop_duplicates("context").set_index("context")["activations"]
        pair = [
            float(stats.pearsonr(np.concatenate([truth[c] for c in half]),
                                 np.concatenate([simulated[unit, c] for c in half]))[0])
            for half in (contexts[0::2], contexts[1::2])
        ]  # fmt: skip
        expected.append(tuple(pair))
    np.testing.assert_allclose(drawn(figure, 0, "feature"), np.array(sorted(expected)), rtol=1e-5)
    r = float(np.corrcoef(np.array(expected).T)[0, 1])
    assert figure is not None
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    shown = f"{2 * r / (1 + r):.2f}".replace("-", "\u2212")
    assert f"SAE features (12, reliability {shown})" in labels
    np.testing.assert_allclose(
        drawn(figure, 1, "neuron"), by_hand(scores(run, "own", "lookup"), scores(run, "own"), "neuron")
    )


def test_a_reliability_is_stepped_up_to_the_whole_or_unknown() -> None:
    assert stepped_up(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])) == pytest.approx(1)
    halves = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    r = np.corrcoef(halves.T)[0, 1]
    assert stepped_up(halves) == pytest.approx(2 * r / (1 + r))
    assert stepped_up(halves[:2]) is stepped_up(np.zeros((5, 2))) is None


def test_bars_are_as_long_as_units_and_tokens_are_many(outcome: Outcome) -> None:
    with house_style():
        figure = coverage_and_cost(outcome)
    bars = coverage_bars(outcome)
    assert bars[["scored", "unscored", "excluded"]].to_numpy().tolist() == [[12, 0, 0], [11, 1, 2]]
    widths = [patch.get_width() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [12, 11, 0, 1, 0, 2]
    assert [text.get_text() for text in figure.axes[0].texts] == [" 12", " 11, 1 unscored, 2 excluded"]
    assert [patch.get_width() for patch in figure.axes[1].patches] == [36_000, 1_500]  # type: ignore[attr-defined]


def test_a_scrambled_subject_s_layer_is_no_other_layer() -> None:
    reference = read_outcome(Path(__file__).parents[2] / "results" / "reference")
    assert any("scrambled" in arm for arm in reference.arms)
    assert by_layer_and_width(reference) is None


def test_layers_and_widths_are_drawn_where_there_are_several(outcome: Outcome, tmp_path: Path) -> None:
    assert by_layer_and_width(outcome) is None
    quality = {"feature:a": 0.9, "feature:b": 0.4, "neuron": 0.4}
    several = read_outcome(finished(tmp_path, Plan(quality=quality, units=4, settings=LESS)))
    units = several.units.assign(
        sae=several.units["arm"].map({"feature:a": "a", "feature:b": "b"}).fillna(""),
        hook=several.units["arm"].map({"feature:b": "layers.11.resid"}).fillna("layers.5.mlp.neurons"),
    )
    sae = [
        one.model_copy(update={"train": replace(one.train, width=width)})
        for one, width in zip(several.study.sae, (64, 256), strict=True)
        if one.train is not None
    ]
    with house_style():
        study = several.study.model_copy(update={"sae": tuple(sae)})
        figure = by_layer_and_width(replace(several, units=units, study=study))
    assert figure is not None
    hooks, widths = figure.axes
    assert [tick.get_text() for tick in hooks.get_xticklabels()] == ["layers.5.mlp.neurons", "layers.11.resid"]
    means = {arm: row.mean for arm in quality if (row := several.row(several.headline, arm)) is not None}
    lines = [[np.asarray(values) for values in line.get_data()] for line in hooks.get_lines()]
    points = {(round(float(across[0])), float(up[0])) for across, up in lines if len(across) == 1}
    assert points == {(0, means["feature:a"]), (0, means["neuron"]), (1, means["feature:b"])}
    joined = [up.tolist() for across, up in lines if len(across) == 2 and across[0] != across[1]]
    assert joined == [[means["feature:a"], means["feature:b"]]], "a kind's means are joined from hook to hook"
    legend = hooks.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["SAE features", "neurons"]
    assert [tick.get_text() for tick in widths.get_xticklabels()] == ["64", "256"]
    across = {float(x[0]) for line in widths.get_lines() if len(x := np.asarray(line.get_xdata())) == 1}
    assert across == {64.0, 256.0}
    assert [note.get_text() for note in widths.texts] == ["SAE features (a)", "SAE features (b)"]
