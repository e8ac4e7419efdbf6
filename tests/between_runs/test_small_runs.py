"""Whole runs in small: explainer, SAE and layer, each against the run that it was made from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

import autointerp
from autointerp.__main__ import main
from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.answer_of_runs import lines_of
from autointerp.between_runs.comparable import OTHER_ACTIVATIONS, OTHER_HOOK, OTHER_SAE
from autointerp.between_runs.compared import ComparedRuns, compared_runs
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import read_table
from tests.between_runs.made import values
from tests.small import small_settings

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def made_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The base and what was made from a copy of its folder, so that only what depends on the change is made anew."""
    settings = small_settings(tmp_path_factory.mktemp("input"))
    settings["simulate"] |= {"literal": True}
    settings["units"] |= {"features": 6, "controls": ["neuron-sparse"]}
    out = tmp_path_factory.mktemp("out")

    def study(*overrides: str) -> Study:
        return parse_study(settings, overrides)

    changes = {
        "base": (),
        "explainer": ("explain.methods=['exemplars']", "explain.candidates=2"),
        "sae": ("sae.0.train.k=2",),
        "layer": ("subject.hooks=['layers.0.mlp.neurons']", "sae.0.hook='layers.0.mlp.neurons'"),
    }
    for name, overrides in changes.items():
        if name != "base":
            shutil.copytree(out / "base", out / name)
        autointerp.run(study(*overrides), out / name, until="compare")
    for name in changes:  # neither what was made on the way nor the answers are needed
        shutil.rmtree(out / name / "work")
        (out / name / "ledger.sqlite").unlink()
    return {name: out / name for name in changes}


EXPLAINERS = ("base", "explainer")


def held(made_of: dict[str, Path], *names: str) -> ComparedRuns:
    return compared_runs([made_of[name] for name in ("base", *names)])


def row(compared: ComparedRuns, run: str, arm: str, baseline: str = "") -> BetweenRunsRow:
    found = compared.row(run, arm, baseline)
    assert found is not None
    return found


def apart(compared: ComparedRuns) -> str:
    return next(line for line in lines_of(compared) if " differs from base in " in line)


def test_explainer_against_explainer_is_unit_by_unit_in_every_arm(made_of: dict[str, Path]) -> None:
    compared = held(made_of, "explainer")
    found = {arm: row(compared, "explainer", arm) for arm in ("feature", "neuron", "neuron-sparse")}
    assert {one.unpaired for one in found.values()} == {""}
    each = (values(made_of["explainer"], "feature") - values(made_of["base"], "feature")).dropna()
    assert found["feature"].paired == len(each)
    assert found["feature"].difference == pytest.approx(each.mean(), abs=1e-6)
    texts = [read_table(made_of[name] / "explanations.parquet").set_index("unit")["text"] for name in EXPLAINERS]
    same = sum(texts[0][unit] == texts[1][unit] for unit in each.index)
    assert found["feature"].same_explanations == same < len(each)
    assert apart(compared).startswith("explainer differs from base in the explainer alone: ")
    assert 'explain.methods ["exemplars"] (in base ["exemplars","phrase"])' in apart(compared)


def test_sae_against_sae_has_other_features_and_the_same_neurons(made_of: dict[str, Path]) -> None:
    compared = held(made_of, "sae")
    features, neurons = row(compared, "sae", "feature"), row(compared, "sae", "neuron")
    assert (features.paired, features.unpaired) == (None, OTHER_SAE)
    theirs = stats.ttest_ind(*(values(made_of[name], "feature") for name in ("sae", "base")), equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert (features.difference_low, features.difference_high) == pytest.approx((interval.low, interval.high))
    assert (neurons.paired, neurons.difference, neurons.p) == (neurons.n, 0.0, None)
    assert row(compared, "sae", "neuron-sparse").unpaired == OTHER_ACTIVATIONS  # of other features' densities
    assert "the same in each" in next(line for line in lines_of(compared) if line.startswith("Neurons score"))
    assert "in the SAE or its hook alone: sae.sae.train.k 2 (in base 4); weights of SAE 'sae' " in apart(compared)


def test_layer_against_layer_is_of_other_units_on_the_same_text(made_of: dict[str, Path]) -> None:
    compared = held(made_of, "layer")
    assert {found.unpaired for found in compared.rows} == {OTHER_HOOK}
    of_arms = row(compared, "layer", "feature", "neuron")
    means = {name: values(made_of[name], "feature").mean() - values(made_of[name], "neuron").mean()
             for name in ("base", "layer")}  # fmt: skip
    assert of_arms.difference == pytest.approx(means["layer"] - means["base"])
    assert "in the SAE or its hook alone" in apart(compared)


def test_what_is_added_to_a_literal_reading_is_compared_unit_by_unit(made_of: dict[str, Path]) -> None:
    compared = held(made_of, "explainer")
    means = {}
    for name in EXPLAINERS:
        scores = read_table(made_of[name] / "scores.parquet")
        at = (scores["arm"] == "feature") & (scores["pairing"] == "own") & (scores["metric"] == "pearson")
        chosen = scores[at & (scores["slice"] == "top-and-random")].copy()
        constant = chosen["reason"].str.contains("same everywhere|same on every|constant", regex=True)
        chosen.loc[constant, "value"] = chosen.loc[constant, "chance"]
        both = chosen.pivot(index="unit", columns="scorer", values="value")[["lift", "literal"]].dropna()
        means[name] = both["lift"] - both["literal"]
    each = (means["explainer"] - means["base"]).dropna()
    found = row(compared, "explainer", "feature", "literal")
    assert found.difference == pytest.approx(each.mean(), abs=1e-6)
    assert found.mean == pytest.approx(means["explainer"].mean())


def test_the_verbs_write_the_answer_a_table_a_page_and_figures(
    made_of: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(made_of[name]) for name in ("base", "explainer", "sae")]

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["autointerp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    shown = call("compare", *runs)
    assert shown.startswith("SAE features score ")
    out = tmp_path / "results" / "compared"
    table = read_table(out / "comparison-of-runs.parquet")
    assert set(table["run"]) == {"explainer", "sae"}
    page = (out / "comparison-of-runs.md").read_text("utf8")
    assert page.startswith("# explainer and sae against base\n")
    for picture in re.findall(r"\]\((figures/\S+)\)", page):
        assert (out / picture).is_file()
    written = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(written) == {
        "comparison-of-runs.md", "comparison-of-runs.parquet", "distribution-by-run.png", "distribution-by-run.svg",
        "differences-of-runs.png", "differences-of-runs.svg",
    }  # fmt: skip
    assert call("plot", *runs, "--out", "again").splitlines() == [
        f"again/figures/{name}.{kind}" for name in ("distribution-by-run", "differences-of-runs")
        for kind in ("svg", "png")
    ]  # fmt: skip
    for path in (tmp_path / "again" / "figures").iterdir():
        assert path.read_bytes() == written[path.name]


def test_two_factors_that_were_redrawn_are_put_together_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every number that a run's own `variance.parquet` has too is the same."""
    settings = small_settings(tmp_path)
    settings["simulate"] |= {"literal": True}
    settings["units"] |= {"controls": []}
    settings["score"] = {"slices": ["top-and-random"], "metrics": ["pearson"]}
    settings["compare"] |= {"replicates": 3, "redraw": ["simulate"]}
    (tmp_path / "study.toml").write_text(dump_study(parse_study(settings)), encoding="utf8")

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["autointerp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    runs = {factor: str(tmp_path / factor) for factor in ("simulate", "sae")}
    for factor, run in runs.items():
        redraw, ledger = f"compare.redraw=['{factor}']", str(tmp_path / "answers" / "ledger.sqlite")
        call("compare", str(tmp_path / "study.toml"), "--set", redraw, "--ledger", ledger, "--out", run)
    out = tmp_path / "together"
    shown = call("variance", *runs.values(), "--out", str(out))
    assert "otherwise" not in shown, "the first draw is the same in both"
    table = read_table(out / "variance_sources.parquet")
    at = ["scorer", "arm", "baseline", "component"]
    held = 0
    for factor, run in runs.items():
        of_run = read_table(Path(run) / "variance.parquet")
        theirs = of_run[~of_run["component"].isin(["draw", "error"])].set_index(at)["value"]
        ours = table[(table["factor"] == factor) & (table["pairing"] == "own")].set_index(at)["value"]
        # Of an arm with a unit that some draw could not score a run itself compares means alone.
        crossed = [{row[:3] for row in t.dropna().index if row[3] == "residual"} for t in (ours, theirs)]
        both = pd.concat([ours, theirs], axis=1).dropna()
        both = both[[row[:3] not in crossed[0] ^ crossed[1] for row in both.index]]
        assert both.iloc[:, 0].to_numpy() == pytest.approx(both.iloc[:, 1].to_numpy(), abs=1e-12)
        held += len(both)
    assert held > 20
    assert (table.loc[table["component"] == "share", "value"].dropna() >= 0).all()
