import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from autointerp.compare.outcome import read_outcome
from autointerp.compare.words import with_interval
from autointerp.errors import BadInput
from autointerp.plot.distribution import distribution
from autointerp.plot.forest import forest
from autointerp.plot.samples import samples_of
from autointerp.plot.stage import plot
from autointerp.plot.strips import StripReader
from autointerp.plot.style import house_style
from autointerp.tables import read_table
from tests.fake_run import Plan, finished, scores_by

LESS = {"score": {"metrics": ["pearson"]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("run"), Plan(constant=["feature/2"], settings=LESS))


@pytest.fixture(scope="module")
def figures(run: Path) -> list[Path]:
    return plot(run)


def words(path: Path) -> str:
    """Text of an SVG; that it parses shows that hostile text didn't break it."""
    return "\n".join(
        "".join(element.itertext()) for element in ElementTree.parse(path).iter() if element.tag.endswith("text")
    )


def test_every_figure_is_there_twice_readable_and_small(run: Path, figures: list[Path]) -> None:
    assert sorted(p.name for p in figures) == sorted(p.name for p in (run / "figures").iterdir())
    assert {p.stem for p in figures} == {"distribution", "forest", "strips-feature", "strips-neuron"}
    assert sum(p.stat().st_size for p in figures) < 600_000
    for path in figures:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 900
                assert len(image.convert("RGB").getcolors(1_000_000) or []) > 10
        else:
            assert words(path)


def test_the_same_tables_give_the_same_bytes_whatever_the_users_settings(run: Path, figures: list[Path]) -> None:
    before = {path: path.read_bytes() for path in figures}
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 20, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert plot(run) == figures
    assert {path: path.read_bytes() for path in figures} == before
    assert b"<dc:date>" not in b"".join(before.values())


def test_the_distribution_states_the_numbers_of_the_table(run: Path, figures: list[Path]) -> None:
    outcome = read_outcome(run)
    shown = words(run / "figures" / "distribution.svg")
    for arm in outcome.arms:
        row = outcome.row(outcome.headline, arm)
        assert row is not None
        assert f"{with_interval(row.mean, row.low, row.high)}   n = {row.n} of {row.n + row.unscored}" in shown
    assert "n = 11 of 12" in shown
    assert "chance" in shown
    assert "token table" in shown


def test_the_distribution_draws_every_scored_unit(run: Path) -> None:
    with house_style():
        figure = distribution(read_outcome(run))
    drawn = [panel.collections for panel in figure.axes]
    values = scores_by(run, scorer="lift", pairing="own", metric="pearson", slice="random-only")
    mine = np.concatenate([np.asarray(points.get_offsets())[:, 0] for points in drawn[1]])
    assert np.sort(mine) == pytest.approx(sorted(v for v in values.values() if not np.isnan(v)))


def test_the_forest_has_a_line_for_every_difference_of_features(run: Path) -> None:
    outcome = read_outcome(run)
    with house_style():
        figure = forest(outcome)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert "minus neurons" in labels
    assert "minus themselves, explanations shuffled" in labels
    for panel, slice_name in zip(figure.axes, outcome.slices, strict=True):
        texts = [text.get_text() for text in panel.texts]
        assert len(texts) == 5 * 3  # four other arms and the shuffled pairing, three strata
        row = outcome.row(replace(outcome.headline, slice=slice_name), "feature", "neuron")
        assert row is not None
        assert any(
            text.startswith(with_interval(row.difference, row.difference_low, row.difference_high)) for text in texts
        )
        assert any(f"n {row.n} v {row.n_baseline}" in text for text in texts)


def test_samples_are_the_best_the_median_and_the_worst(run: Path) -> None:
    outcome = read_outcome(run)
    values = {u: v for u, v in scores_by(run, scorer="lift", pairing="own", slice="top-and-random").items()
              if u.startswith("feature/") and not np.isnan(v)}  # fmt: skip
    found = {sample.rank: sample for sample in samples_of(outcome, outcome.headline, "feature")}
    assert found["best"].unit == max(values, key=lambda u: values[u])
    assert found["worst"].unit == min(values, key=lambda u: values[u])
    assert found["median"].value == pytest.approx(np.median(list(values.values())))
    assert "feature/2" not in {sample.unit for sample in found.values()}


def test_strips_show_true_tokens_around_the_peak_with_both_values(run: Path) -> None:
    outcome = read_outcome(run)
    simulations, evidence = read_table(run / "simulations.parquet"), read_table(run / "evidence.parquet")
    shown = StripReader(outcome).shown("feature")
    assert [unit.sample.rank for unit in shown] == ["best", "median", "worst"]
    for unit in shown:
        assert unit.explanation.startswith("words such as")
        assert len(unit.strips) == 3
        first = unit.strips[0]
        assert max(first.truth) == 1  # the unit's strongest context comes first, with its peak in view
        truths = evidence[evidence["unit"] == unit.sample.unit]["activations"].explode().astype(float)
        guesses = simulations[(simulations["unit"] == unit.sample.unit) & (simulations["simulator"] == "lift")]
        assert truths.max() > 0
        assert len(guesses)
        for strip in unit.strips:
            assert len("".join(strip.pieces)) <= 112
            assert len(strip.pieces) == len(strip.truth) == len(strip.predicted)
            assert strip.truth.min() >= 0
            assert 0 <= strip.predicted.min() <= strip.predicted.max() <= 1
    best = shown[0].strips[0]
    assert np.corrcoef(best.truth, best.predicted)[0, 1] > 0.5


def test_strips_hold_hostile_text_as_text(run: Path, figures: list[Path]) -> None:
    shown = words(run / "figures" / "strips-feature.svg") + words(run / "figures" / "strips-neuron.svg")
    assert "$x_1$" in shown or "<b>" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("plan", "names"),
    [
        (Plan(quality={"feature": 0.9}), {"distribution", "forest", "strips-feature"}),
        (Plan(quality={"neuron": 0.5, "direction": 0.1}), {"distribution", "strips-neuron"}),
        (
            Plan(quality={"feature:a": 0.9, "feature:b_2": 0.4, "neuron": 0.4}),
            {"distribution", "forest", "strips-feature-a", "strips-feature-b_2", "strips-neuron"},
        ),
        (
            Plan(quality={"feature": 0.9, "neuron": 0.5}, units=1),
            {"distribution", "forest", "strips-feature", "strips-neuron"},
        ),
        (
            Plan(quality={"feature": 0.9, "neuron": 0.5}, units=2, constant=["neuron/0-", "neuron/1+"]),
            {"distribution", "forest", "strips-feature"},
        ),
        (
            Plan(quality={"feature": 0.9, "neuron": 0.5}, units=3, settings={"simulate": {"method": "lookup"}}),
            {"distribution", "forest", "strips-feature", "strips-neuron"},
        ),
    ],
)
def test_figures_do_with_the_arms_that_there_are(tmp_path: Path, plan: Plan, names: set[str]) -> None:
    plan.settings = {**plan.settings, "score": {"metrics": ["spearman"], "slices": ["top-and-random"]}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {path.stem for path in plot(finished(tmp_path, plan))} == names


def test_no_global_figure_state_is_touched() -> None:
    code = "import sys, autointerp.plot.stage; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_table_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=2, settings=LESS))
    (tmp_path / "comparison.parquet").unlink()
    with pytest.raises(BadInput, match=r"no table .*comparison\.parquet"):
        plot(tmp_path)
    assert not (tmp_path / "figures").exists()
