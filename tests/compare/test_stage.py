from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autointerp.compare.outcome import Outcome, answered, read_outcome
from autointerp.compare.stage import compare
from autointerp.errors import BadInput
from autointerp.metrics.intervals import NONE, ONE
from autointerp.rows import ComparisonRow
from autointerp.score.stage import score
from autointerp.tables import read_arrow
from tests.fake_run import FakeRun, Plan, scores_by

OWN = {"scorer": "lift", "metric": "pearson", "slice": "top-and-random", "pairing": "own"}
LESS = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}


def compared(folder: Path, plan: Plan) -> Outcome:
    study = FakeRun(folder, plan).write()
    score(study, folder)
    compare(study, folder)
    return read_outcome(folder)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    plan = Plan(units=12, constant=["feature/2", "feature/5"], unexplained=["neuron/1+"], unsimulated=["feature/7"])
    return compared(tmp_path_factory.mktemp("run"), plan)


def row(outcome: Outcome, arm: str, baseline: str = "", stratum: str = "all", pairing: str = "own") -> ComparisonRow:
    wanted = {**OWN, "stratum": stratum, "pairing": pairing, "arm": arm, "baseline": baseline}
    found = [r for r in outcome.rows if all(getattr(r, key) == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_an_arm_is_described_with_what_is_missing(outcome: Outcome) -> None:
    values = [v for u, v in scores_by(outcome.run_dir, **OWN).items() if u.startswith("feature/") and not np.isnan(v)]
    found = row(outcome, "feature")
    assert (found.n, found.unscored, found.excluded) == (9, 3, 0)
    assert found.coverage == pytest.approx(9 / 12)
    assert found.reasons == "constant prediction: 2; the request timed out: 1"
    assert found.mean == pytest.approx(np.mean(values))
    assert found.median == pytest.approx(np.median(values))
    assert found.mean_unscored_at_chance == pytest.approx(sum(values) / 12)
    assert found.low is not None
    assert found.high is not None
    assert found.low < np.mean(values) < found.high
    assert found.difference is None
    assert found.n_baseline is None
    assert row(outcome, "neuron").excluded == 2
    assert row(outcome, "neuron", stratum="single-token").excluded is None


def test_planted_effects_come_out(outcome: Outcome) -> None:
    strong = row(outcome, "feature", "direction")
    assert strong.difference_low is not None
    assert strong.difference_low > 0.3
    assert strong.p is not None
    assert strong.p < 0.01
    assert (strong.n, strong.n_baseline) == (9, 12)
    medians = [row(outcome, arm).median for arm in ("feature", "direction")]
    assert None not in medians
    assert strong.median_difference == pytest.approx((medians[0] or 0) - (medians[1] or 0))
    assert strong.median_difference_low is not None
    assert strong.note == "only 9 units: the interval may be too narrow"
    null = row(outcome, "feature", pairing="shuffled")
    assert null.mean == pytest.approx(0, abs=0.1)
    over = row(outcome, "feature", "shuffled")
    assert over.difference_low is not None
    assert over.difference_low > 0.3


def test_the_gap_to_the_token_table_is_paired_and_an_answer_that_is_the_same_everywhere_is_chance(
    outcome: Outcome,
) -> None:
    own, table = (scores_by(outcome.run_dir, **{**OWN, "scorer": scorer}) for scorer in ("lift", "lookup"))
    constant = dict.fromkeys(("feature/2", "feature/5"), 0.0)
    each = [
        constant.get(unit, value) - table[unit]
        for unit, value in own.items()
        if unit.startswith("feature/") and unit != "feature/7"
    ]
    found = row(outcome, "feature", "lookup")
    assert (found.n, found.family, found.p_holm) == (11, "outside", None)
    assert found.difference == pytest.approx(np.mean(each))
    assert found.superiority == pytest.approx(np.mean(np.array(each) > 0))
    assert found.superiority_high is not None
    assert not [r for r in outcome.rows if r.scorer == r.baseline == "lookup"]


def test_the_lookup_has_no_shuffled_pairing(outcome: Outcome) -> None:
    of_lookup = [r for r in outcome.rows if r.scorer == "lookup"]
    assert {r.pairing for r in of_lookup} == {"own"}
    assert "shuffled" not in {r.baseline for r in of_lookup}
    assert "neuron" in {r.baseline for r in of_lookup}


def test_an_unknown_number_is_null_in_the_table(outcome: Outcome) -> None:
    table = read_arrow(outcome.run_dir / "comparison.parquet")
    for name in ("difference", "p", "coverage", "mean", "low"):
        assert not any(v != v for v in table[name].to_pylist() if v is not None)
    assert table["difference"].null_count > 0


def test_the_same_run_gives_the_same_bytes_and_arms_do_not_disturb_each_other(tmp_path: Path) -> None:
    whole = compared(tmp_path / "a", Plan(quality={"feature": 0.9, "neuron": 0.5}, settings=LESS))
    before = (tmp_path / "a" / "comparison.parquet").read_bytes()
    compare(whole.study, whole.run_dir)
    assert (tmp_path / "a" / "comparison.parquet").read_bytes() == before
    part = compared(tmp_path / "b", Plan(quality={"feature": 0.9}, settings=LESS))
    assert row(whole, "feature") == row(part, "feature")


def test_a_run_of_one_feature_arm_alone_still_compares_with_its_null(tmp_path: Path) -> None:
    found = compared(tmp_path, Plan(quality={"feature": 0.9}, settings=LESS))
    assert {r.baseline for r in found.rows} == {"", "shuffled", "lookup"}
    assert found.baselines == []


def test_several_saes_are_held_against_the_baseline_and_each_other(tmp_path: Path) -> None:
    found = compared(tmp_path, Plan(quality={"feature:a": 0.9, "feature:b": 0.2, "neuron": 0.5}, settings=LESS))
    assert found.feature_arms == ["feature:a", "feature:b"]
    better = row(found, "feature:a", "feature:b")
    assert better.difference_low is not None
    assert better.difference_low > 0
    assert row(found, "feature:b", "neuron").difference is not None


def test_one_unit_has_no_interval_and_none_no_mean(tmp_path: Path) -> None:
    plan = Plan(quality={"feature": 0.9, "neuron": 0.5}, units=2, constant=["feature/0", "neuron/0-", "neuron/1+"])
    found = compared(tmp_path, plan)
    single = row(found, "feature")
    assert (single.n, single.low, single.high, single.note) == (1, None, None, ONE)
    assert single.mean is not None
    nothing = row(found, "neuron")
    assert (nothing.n, nothing.mean, nothing.coverage, nothing.note) == (0, None, 0.0, NONE)
    against = row(found, "feature", "neuron")
    assert (against.difference, against.p, against.note) == (None, None, NONE)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    study = FakeRun(tmp_path, Plan(quality={"feature": 0.9}, units=2)).write()
    with pytest.raises(BadInput, match=r"no table .*scores\.parquet"):
        compare(study, tmp_path)
    with pytest.raises(BadInput, match=r"no table .*scores\.parquet"):
        read_outcome(tmp_path)


def test_an_answer_that_is_the_same_everywhere_is_chance_and_a_failure_is_none() -> None:
    rows = pd.DataFrame({
        "unit": ["a", "b", "c"], "replicate": 0, "value": [0.4, None, None], "chance": [0.1, 0.2, 0.3],
        "reason": ["", "constant prediction", "the request timed out"],
    })  # fmt: skip
    assert answered(rows).to_dict() == {("a", 0): 0.4, ("b", 0): 0.2}
