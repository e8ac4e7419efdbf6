"""Every number of a comparison that was worked out by hand: see `tests/hand_run.py` for the scores it is of.

An interval of 85% leaves 7.5% on either side. Of fewer than ten units a mean has Student's t interval, a difference of
arms Welch's; for medians all resamples can be counted. P-values are counted over all arrangements and found by 4,000
drawn ones, so they are near and not equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.multitest import multipletests

from autointerp.tables import read_arrow
from tests.hand_run import hand_run, student

Rows = dict[tuple[str, ...], dict[str, Any]]
EQUAL = "all values are equal: no interval"
ONE = "one observation has no standard error"


def few(units: int) -> str:
    return f"only {units} units: the interval may be too narrow"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """By scorer, metric, slice, stratum, pairing, arm and baseline."""
    names = ("scorer", "metric", "slice", "stratum", "pairing", "arm", "baseline")
    found: Rows = {}
    run: Path = hand_run(tmp_path_factory.mktemp("run"))
    for row in read_arrow(run / "comparison.parquet").to_pylist():
        assert found.setdefault(tuple(row[name] for name in names), row) is row
    return found


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=0, abs=1e-12)


End = float | None
Ends = tuple[float, End, End]


ARMS: dict[tuple[str, ...], tuple[int, int, int | None, Ends, Ends, float]] = {
    # Four features score 1, 0, 0, 0 and one nothing: squares about 0.25 sum to 0.75, by 3 and by 4 is 1/16. The median
    # is 0 where at most one drawn is the 1 (74%) and at most 0.5 where two are (95%): it ends at 0.5, without skew
    # (all medians of three are 0). Were the fifth at chance: (1 + 0 + 0 + 0 + 0) / 5.
    ("pearson", "top-and-random", "all", "own", "feature"):
        (4, 1, 1, student(0.25, 1 / 16, 3), (0.0, 0.0, 0.5), 0.2),
    ("pearson", "top-and-random", "all", "own", "neuron"):
        (5, 0, 2, (0.5, None, None), (0.5, None, None), 0.5),
    # 0, 0.5, 0.5, 1: squares sum to 0.5. (0.5 + 0 + 1 + 0.5 + 0) / 5 with the one that is not scored.
    ("pearson", "top-and-random", "all", "shuffled", "feature"):
        (4, 1, 1, student(0.5, 1 / 24, 3), (0.5, 0.25, 0.75), 0.4),
    # -0.5, 0, 0, 0, 0.5: squares sum to 0.5, by 4 and by 5.
    ("pearson", "top-and-random", "all", "shuffled", "neuron"):
        (5, 0, 2, student(0.0, 1 / 40, 4), (0.0, 0.0, 0.0), 0.0),
    # The two single-token features score 1 and 0. A quarter of the pairs drawn are twice the same. Student's t
    # goes from -5.9 to 6.9, the scale of a correlation from -1 to 1.
    ("pearson", "top-and-random", "single-token", "own", "feature"):
        (2, 0, None, (0.5, -1.0, 1.0), (0.5, 0.0, 1.0), 0.5),
    ("pearson", "top-and-random", "single-token", "own", "neuron"):
        (2, 0, None, (0.5, None, None), (0.5, None, None), 0.5),
    ("pearson", "top-and-random", "not-single-token", "own", "feature"):
        (2, 1, None, (0.0, None, None), (0.0, None, None), 0.0),
    ("pearson", "top-and-random", "not-single-token", "own", "neuron"):
        (3, 0, None, (0.5, None, None), (0.5, None, None), 0.5),
    # All less one of what it was: 0, -1, -1, -1. (0 - 1 - 1 - 1 + 0) / 5 were the fifth at chance.
    ("pearson", "random-only", "all", "own", "feature"):
        (4, 1, 1, (-0.75, -1.0, student(-0.75, 1 / 16, 3)[2]), (-1.0, -1.0, -0.5), -0.6),
    ("pearson", "random-only", "all", "own", "neuron"):
        (5, 0, 2, (1.0, None, None), (1.0, None, None), 1.0),
    # AUROC is (Pearson + 1) / 2: 1, 0.5, 0.5, 0.5. Chance is 0.5, so (1 + 0.5 * 3 + 0.5) / 5 with the fifth.
    ("auroc", "top-and-random", "all", "own", "feature"):
        (4, 1, 1, student(0.625, 1 / 64, 3), (0.5, 0.5, 0.75), 0.6),
    ("auroc", "random-only", "all", "own", "feature"):
        (4, 1, 1, (0.125, 0.0, student(0.125, 1 / 64, 3)[2]), (0.0, 0.0, 0.25), 0.2),
    # (0.5 + 0.75 + 0.5 + 1 + 0.75) / 5 with feature/0, which has no score with another unit's explanation.
    ("auroc", "top-and-random", "all", "shuffled", "feature"):
        (4, 1, 1, student(0.75, 1 / 96, 3), (0.75, 0.625, 0.875), 0.7),
}  # fmt: skip
"""Metric, slice, stratum, pairing, arm -> scored, unscored, excluded, mean and median with their ends, mean with the
unscored at chance."""


@pytest.mark.parametrize("name", ARMS, ids="-".join)
def test_an_arm_is_what_was_worked_out_by_hand(rows: Rows, name: tuple[str, ...]) -> None:
    n, unscored, excluded, mean, median, at_chance = ARMS[name]
    row = rows["lift", *name, ""]
    assert (row["n"], row["unscored"], row["excluded"], row["n_baseline"]) == (n, unscored, excluded, None)
    assert row["coverage"] == near(n / (n + unscored))
    assert [row[end] for end in ("mean", "low", "high")] == [near(value) for value in mean]
    assert [row[end] for end in ("median", "median_low", "median_high")] == [near(value) for value in median]
    assert row["mean_unscored_at_chance"] == near(at_chance)
    assert row["chance"] == {"pearson": 0.0, "auroc": 0.5}[name[0]]
    assert row["reasons"] == ("the request timed out: 1" if unscored else "")
    assert [row[of] for of in ("difference", "difference_low", "difference_high", "superiority", "p")] == [None] * 5


DIFFERENCES: dict[tuple[str, ...], tuple[int, int, Ends, float, float | None, str]] = {
    # 0.25 - 0.5; all neurons score the same: the features alone have spread. One of four features is above. Of the
    # 126 ways to choose four of {1, 0, 0, 0, 0.5 * 5} as features those are as extreme (Welch's |t| of 1 or more) that
    # choose 1, 0, 0, 0 (1 way) or 1, 0.5 * 3 (10) or 0, 0, 0, 0.5 (5) or 0, 0, 0.5, 0.5 (30) or 0.5 * 4 (5).
    ("top-and-random", "all", "feature", "neuron"): (4, 5, student(-0.25, 1 / 16, 3), 0.25, 51 / 126, few(4)),
    # 1, 0 against 0.5, 0.5: the same mean, as no other arrangement is less extreme.
    ("top-and-random", "single-token", "feature", "neuron"): (2, 2, student(0.0, 1 / 4, 1), 0.5, 1.0, few(2)),
    # 0, 0 against 0.5 * 3: of ten arrangements only this one leaves no spread within either.
    ("top-and-random", "not-single-token", "feature", "neuron"): (2, 3, (-0.5, None, None), 0.0, 1 / 10, EQUAL),
    # Of /1, /2, /3, which are scored both ways: 0 - 0.5, 0 - 0, 0 - 1: squares sum to 0.5, by 2 and by 3. One of three
    # ties, none is above: 0.5 / 3. Half of the patterns of signs are as far from 0: those where 0.5 and 1 agree.
    ("top-and-random", "all", "feature", "shuffled"): (3, 3, student(-0.5, 1 / 12, 2), 0.5 / 3, 1 / 2, few(3)),
    # 1, 0.5, 0.5, 0.5, 0, as -0.5, 0, 0, 0, 0.5 above. All four signs that matter must agree: 2 of 16. One ties.
    ("top-and-random", "all", "neuron", "shuffled"): (5, 5, student(0.5, 1 / 40, 4), 0.9, 1 / 8, few(5)),
    # feature/0 has no score with another unit's explanation, so feature/1 is alone: 0 - 0.5.
    ("top-and-random", "single-token", "feature", "shuffled"): (1, 1, (-0.5, None, None), 0.0, None, ONE),
    # /2 and /3: 0 and -1; feature/4 has no score of its own.
    ("top-and-random", "not-single-token", "feature", "shuffled"): (2, 2, student(-0.5, 1 / 4, 1), 0.25, 1.0, few(2)),
    # 1, 0, 0, 0 less 0.5 of the token table: 0.5, -0.5 * 3. Of the 16 patterns of signs 6 add up to nothing.
    ("top-and-random", "all", "feature", "lookup"): (4, 4, student(-0.25, 1 / 16, 3), 0.25, 10 / 16, few(4)),
    # 0.5 less 1, five times: all signs must agree.
    ("top-and-random", "all", "neuron", "lookup"): (5, 5, (-0.5, None, None), 0.0, 1 / 16, EQUAL),
    # -0.75 - 1, and only the arrangement as it is is so extreme.
    ("random-only", "all", "feature", "neuron"): (4, 5, student(-1.75, 1 / 16, 3), 0.0, 1 / 126, few(4)),
    # 0, -1 against 1, 1: two of the six arrangements, this one and its mirror image.
    ("random-only", "single-token", "feature", "neuron"): (2, 2, student(-1.5, 1 / 4, 1), 0.0, 1 / 3, few(2)),
    ("random-only", "not-single-token", "feature", "neuron"): (2, 3, (-2.0, None, None), 0.0, 1 / 10, EQUAL),
    # -1 - 0.25, -1 - 0, -1 - 0.5: spread as before by half; all three signs must agree, 2 of 8.
    ("random-only", "all", "feature", "shuffled"): (3, 3, student(-1.25, 1 / 48, 2), 0.0, 1 / 4, few(3)),
}
"""Slice, stratum, arm, baseline -> n, n of the baseline, difference with its ends, superiority, p over all
arrangements, note; by Pearson correlation."""


@pytest.mark.parametrize("name", DIFFERENCES, ids="-".join)
@pytest.mark.parametrize(("metric", "scale"), [("pearson", 1.0), ("auroc", 0.5)])
def test_a_difference_is_what_was_worked_out_by_hand(
    rows: Rows, name: tuple[str, ...], metric: str, scale: float
) -> None:
    """AUROC is half of the correlation and half of one, so its differences are half as large."""
    slice_name, stratum, arm, baseline = name
    n, n_baseline, difference, superiority, p, note = DIFFERENCES[name]
    row = rows["lift", metric, slice_name, stratum, "own", arm, baseline]
    assert (row["n"], row["n_baseline"], row["note"]) == (n, n_baseline, note)
    ends = [row[end] for end in ("difference", "difference_low", "difference_high")]
    assert ends == [near(None if value is None else scale * value) for value in difference]
    assert row["superiority"] == near(superiority)
    assert row["p"] == (None if p is None else pytest.approx(p, rel=0, abs=0.03 if p > 0.05 else 0.006))
    own = rows["lift", metric, slice_name, stratum, "own", arm, ""]
    same = ("unscored", "excluded", "coverage", "reasons", "mean", "low", "high", "median", "mean_unscored_at_chance")
    assert [row[of] for of in same] == [own[of] for of in same]


def test_the_token_table_has_its_own_scores_in_the_table(rows: Rows) -> None:
    found = {
        (slice_name, arm): rows["lookup", "pearson", slice_name, "all", "own", arm, ""]["mean"]
        for slice_name in ("top-and-random", "random-only")
        for arm in ("feature", "neuron")
    }
    assert found == {
        ("top-and-random", "feature"): 0.5, ("top-and-random", "neuron"): 1.0,
        ("random-only", "feature"): 1.0, ("random-only", "neuron"): 0.5,
    }  # fmt: skip


def test_holms_adjustment_is_within_the_family(rows: Rows) -> None:
    """Lift has 14 tests in each of 2 metrics x 2 slices: 5 comparisons x 3 strata less the one of a lone unit. The
    token table, which has no shuffled pairing and is not held against itself, has 3."""
    tested = [row for row in rows.values() if row["p"] is not None]
    assert len(tested) == 4 * 14 + 4 * 3 == 68
    assert {row["family"] for row in rows.values() if row["p"] is None} == {""}
    families: dict[str, list[str]] = {name: [] for name in ("primary", "secondary", "outside")}
    for row in tested:
        families[row["family"]].append(
            f"{row['scorer']} {row['metric']} {row['slice']} {row['stratum']} {row['baseline']}"
        )
    assert families["primary"] == ["lift pearson top-and-random all neuron"]
    assert sorted(families["secondary"]) == [
        "lift auroc random-only all neuron", "lift auroc top-and-random all neuron",
        "lift pearson random-only all neuron",
    ]  # fmt: skip
    assert len(families["outside"]) == 64
    assert {row["p_holm"] for row in rows.values() if row["family"] in ("", "outside")} == {None}
    lone = [row for row in tested if row["metric"] == "pearson" and row["family"] in ("primary", "secondary")]
    assert [row["p_holm"] for row in lone] == [row["p"] for row in lone]
    twice = [row for row in tested if row["metric"] == "auroc" and row["family"] == "secondary"]
    expected = multipletests([row["p"] for row in twice], method="holm")[1]
    assert [row["p_holm"] for row in twice] == pytest.approx(list(expected))
    assert min(row["p_holm"] for row in twice) == pytest.approx(2 * min(row["p"] for row in twice))
