from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from autointerp.errors import BadInput
from autointerp.score.stage import score
from autointerp.tables import read_table, write_table
from tests.fake_run import FakeRun, Plan, scores_by

PLAN = Plan(
    quality={"feature": 0.9, "neuron": 0.5},
    units=6,
    unexplained=["neuron/1+"],
    constant=["feature/2"],
    silent=["feature/3"],
    unsimulated=["neuron/0-"],
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    score(FakeRun(folder, PLAN).write(), folder)
    return folder


def reason(run: Path, unit: str, pairing: str = "own", scorer: str = "lift") -> set[str]:
    frame = read_table(run / "scores.parquet")
    chosen = frame[(frame["unit"] == unit) & (frame["pairing"] == pairing) & (frame["scorer"] == scorer)]
    assert (chosen["value"].isna() == (chosen["status"] == "unscored")).all()
    return set(chosen["reason"])


@pytest.mark.parametrize("slice_name", ["top-and-random", "random-only"])
@pytest.mark.parametrize(("metric", "by_scipy"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_scores_equal_a_plain_loop_over_the_tables(run: Path, metric: str, by_scipy: Any, slice_name: str) -> None:
    evidence, simulations = read_table(run / "evidence.parquet"), read_table(run / "simulations.parquet")
    split = read_table(run / "contexts.parquet").set_index("context")["split"]
    found = scores_by(run, scorer="lift", pairing="own", metric=metric, slice=slice_name)
    for unit in ("feature/0", "feature/5", "neuron/4+"):
        rows = evidence[(evidence["unit"] == unit) & (evidence["context"].map(split) == "held-out")]
        random = list(rows[rows["kind"] == "random"]["context"])
        top = list(rows[rows["kind"] == "top"]["context"])
        contexts = [*top, *random[:3]] if slice_name == "top-and-random" else random
        truth: list[float] = []
        predicted: list[float] = []
        for context in dict.fromkeys(contexts):
            truth += rows[rows["context"] == context]["activations"].iloc[0].tolist()
            guesses = simulations[(simulations["unit"] == unit) & (simulations["simulator"] == "lift")]
            predicted += guesses[guesses["context"] == context]["predicted"].iloc[0].tolist()
        assert found[unit] == pytest.approx(by_scipy(truth, predicted).statistic, abs=1e-9)


def test_every_failure_has_its_reason(run: Path) -> None:
    assert reason(run, "feature/2") == {"constant prediction"}
    assert reason(run, "feature/3") == {"constant truth: the unit is silent on every token"}
    assert reason(run, "feature/3", "shuffled") == {"constant truth: the unit is silent on every token"}
    assert reason(run, "neuron/1+") == {"no explanation: no word among its top tokens"}
    assert reason(run, "neuron/1+", scorer="lookup") == {""}  # needs no explanation
    assert reason(run, "neuron/1+", "shuffled") == {"no shuffled pairing was simulated"}
    assert "the request timed out" in reason(run, "neuron/0-")
    assert reason(run, "neuron/2+") == {""}


def test_counts_say_what_was_pooled(run: Path) -> None:
    frame = read_table(run / "scores.parquet")
    random_only = frame[frame["slice"] == "random-only"]
    assert set(random_only["n_contexts"]) == {8}
    assert set(random_only["n_tokens"]) == {8 * PLAN.tokens}
    assert set(frame["chance"]) == {0.0}


def test_the_same_tables_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    score(FakeRun(tmp_path, PLAN).write(), tmp_path)
    assert (tmp_path / "scores.parquet").read_bytes() == (run / "scores.parquet").read_bytes()


def test_a_unit_that_was_never_simulated_or_has_no_contexts_is_counted(tmp_path: Path) -> None:
    study = FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=3)).write()
    simulations = read_table(tmp_path / "simulations.parquet")
    drop(tmp_path, "simulations", simulations["unit"] == "feature/0")
    evidence = read_table(tmp_path / "evidence.parquet")
    drop(tmp_path, "evidence", evidence["unit"] == "feature/1")
    score(study, tmp_path)
    assert reason(tmp_path, "feature/0") == {"not simulated"}
    assert reason(tmp_path, "feature/1") == {"no held-out context in this slice"}


def test_one_failed_row_without_a_context_fails_the_unit(tmp_path: Path) -> None:
    study = FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=2)).write()
    table = read_table(tmp_path / "simulations.parquet")
    kept = table[(table["unit"] != "feature/0") | (table["simulator"] != "lift")].to_dict("records")
    failed = {"unit": "feature/0", "simulator": "lift", "replicate": 0, "context": None, "predicted": None,
              "scale": "nats", "status": "unscored", "reason": "the model refused"}  # fmt: skip
    write_table("simulations", tmp_path / "simulations.parquet", [*kept, failed])
    score(study, tmp_path)
    assert reason(tmp_path, "feature/0") == {"the model refused"}


def test_a_unit_alone_in_its_arm_has_no_shuffled_pairing(tmp_path: Path) -> None:
    score(FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=1)).write(), tmp_path)
    assert reason(tmp_path, "feature/0", "shuffled") == {"no other unit in the arm"}


def test_predictions_of_another_length_are_refused(tmp_path: Path) -> None:
    study = FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=2)).write()
    table = read_table(tmp_path / "simulations.parquet")
    table["predicted"] = [values[:-1] for values in table["predicted"]]
    write_table("simulations", tmp_path / "simulations.parquet", table.to_dict("records"))
    with pytest.raises(BadInput, match="23 predictions for feature/0 on 24 tokens: remove it"):
        score(study, tmp_path)
    assert not (tmp_path / "scores.parquet").exists()


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    study = FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=2)).write()
    (tmp_path / "shuffled.parquet").unlink()
    with pytest.raises(BadInput, match=r"no table .*shuffled\.parquet"):
        score(study, tmp_path)


def drop(folder: Path, name: str, rows: "pd.Series[bool]") -> None:
    table = read_table(folder / f"{name}.parquet")
    write_table(name, folder / f"{name}.parquet", table[~rows].to_dict("records"))
