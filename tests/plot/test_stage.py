import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from autointerp.compare.outcome import read_outcome
from autointerp.errors import BadInput
from autointerp.plot.forest import forest
from autointerp.plot.glyphs import drawable
from autointerp.plot.samples import Sample, samples_of
from autointerp.plot.stage import plot
from autointerp.plot.strips import Strip, StripReader, UnitStrips, strips
from autointerp.plot.style import house_style, save
from autointerp.tables import read_table
from tests.fake_run import HOSTILE, Plan, finished, scores_by
from tests.forked import Forked

MORE = {"against-evidence", "own-shuffled", "reliability", "coverage"}
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
    assert {p.stem for p in figures} == {"distribution", "forest", "strips-feature", "strips-neuron", *MORE}
    assert sum(p.stat().st_size for p in figures) < 900_000
    for path in figures:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width > 700
                assert len(image.convert("RGB").getcolors(1_000_000) or []) > 10
        else:
            assert words(path)


def test_the_same_tables_give_the_same_bytes_whatever_the_users_settings(run: Path, figures: list[Path]) -> None:
    before = {path: path.read_bytes() for path in figures}
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 20, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert plot(run) == figures
    assert {path: path.read_bytes() for path in figures} == before
    assert b"<dc:date>" not in b"".join(before.values())


def test_the_forest_has_a_line_for_every_difference_of_features(run: Path) -> None:
    outcome = read_outcome(run)
    with house_style():
        figure = forest(outcome)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert "minus neurons" in labels
    assert "minus themselves, explanations shuffled" in labels
    for panel in figure.axes:
        assert len(panel.texts) == 5 * 3  # four other arms and the shuffled pairing, three strata


def test_samples_are_the_best_the_median_and_the_worst(run: Path) -> None:
    outcome = read_outcome(run)
    values = {u: v for u, v in scores_by(run, scorer="lift", pairing="own", slice="top-and-random").items()
              if u.startswith("feature/") and not np.isnan(v)}  # fmt: skip
    found = {sample.rank: sample for sample in samples_of(outcome, outcome.headline, "feature")}
    assert found["best"].unit == max(values, key=lambda u: values[u])
    assert found["worst"].unit == min(values, key=lambda u: values[u])
    assert found["median"].value == pytest.approx(np.median(list(values.values())))
    assert "feature/2" not in {sample.unit for sample in found.values()}


def test_a_strip_is_a_piece_of_a_context_with_what_was_true_and_predicted_on_it(run: Path) -> None:
    """Found again in the tables by its pieces: truth in shares of the unit's highest on its scored contexts, prediction
    from its lowest to its highest on them."""
    simulations, evidence = read_table(run / "simulations.parquet"), read_table(run / "evidence.parquet")
    pieces = read_table(run / "contexts.parquet").set_index("context")["pieces"]
    shown = StripReader(read_outcome(run)).shown("feature")
    assert [unit.sample.rank for unit in shown] == ["best", "median", "worst"]
    for unit in shown:
        name = unit.sample.unit
        rows = evidence[(evidence["unit"] == name) & (evidence["context"] >= 40)]  # the held-out half
        drawn = [*rows[rows["kind"] == "top"]["context"], *rows[rows["kind"] == "random"]["context"][:3]]
        contexts = list(dict.fromkeys(drawn))
        truth = np.stack([rows[rows["context"] == c]["activations"].iloc[0] for c in contexts])
        mine = simulations[(simulations["unit"] == name) & (simulations["simulator"] == "lift")].set_index("context")
        guess = np.stack([mine.loc[c, "predicted"] for c in contexts])
        truth, guess = truth / truth.max(), (guess - guess.min()) / (guess.max() - guess.min())
        assert unit.explanation.startswith("words such as")
        assert len(unit.strips) == 3
        assert max(unit.strips[0].truth) == 1  # the unit's strongest context comes first, with its peak in view
        for strip in unit.strips:
            assert len("".join(strip.pieces)) <= 112
            places = [
                (row, start)
                for row, context in enumerate(contexts)
                for start in range(len(pieces[context]) - len(strip.pieces) + 1)
                if tuple(map(drawable, pieces[context][start : start + len(strip.pieces)])) == strip.pieces
            ]
            assert len(places) == 1
            (row, start), length = places[0], len(strip.pieces)
            np.testing.assert_allclose(strip.truth, truth[row, start : start + length], rtol=1e-6)
            np.testing.assert_allclose(strip.predicted, guess[row, start : start + length], rtol=1e-5, atol=1e-6)


def test_strips_hold_hostile_text_as_text(tmp_path: Path) -> None:
    pieces = tuple(drawable(piece) for piece in HOSTILE)
    strip = Strip(pieces, np.ones(len(pieces)), np.ones(len(pieces)))
    shown = UnitStrips(Sample("best", "feature/<b>", 0, 0.5), "".join(HOSTILE), (strip,))
    with house_style():
        path, _ = save(strips([shown], "feature"), tmp_path, "strips")
    found = words(path).splitlines()
    rows = [row for row in found if "$x_1$" in row]
    assert len(rows) == 3  # the explanation, the truth and the prediction
    for row in rows:
        assert all(piece in row for piece in ("<b>", "|", "`", "](http://e.vil)", "é", "**", "-->"))
    assert any("feature/<b>" in row for row in found)
    assert not {"\x1b", "\u202e", "\t"} & set("".join(found))


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
        written = {path.stem for path in plot(finished(tmp_path, plan))}
    assert written - MORE == names
    assert {"coverage", "against-evidence"} <= written


def test_no_global_figure_state_is_touched() -> None:
    code = "import sys, autointerp.plot.stage; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert Forked(code).ends() == (0, "", "")


def test_a_missing_table_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    finished(tmp_path, Plan(quality={"feature": 0.9}, units=2, settings=LESS))
    (tmp_path / "comparison.parquet").unlink()
    with pytest.raises(BadInput, match=r"no table .*comparison\.parquet"):
        plot(tmp_path)
    assert not (tmp_path / "figures").exists()
