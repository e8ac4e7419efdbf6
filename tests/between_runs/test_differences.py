"""Every difference of two runs against scipy on their tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autointerp.between_rows import BetweenRunsRow
from autointerp.between_runs.comparable import OTHER_SAE
from autointerp.between_runs.compared import ComparedRuns, compared_runs
from autointerp.compare.replicates import hold_replicates
from autointerp.errors import BadInput
from autointerp.rows import PRIMARY, SECONDARY
from autointerp.run.manifest import StageEntry
from autointerp.study_file import load_study
from autointerp.tables import read_table
from tests.between_runs.made import BETTER, EXPLAINER, PLAIN, changed, made, sealed, values
from tests.fake_run import Plan

MARGIN = 0.05


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The base, one by a better explainer that failed for one unit, and one whose SAE is another."""
    folder = tmp_path_factory.mktemp("runs")
    base = made(folder / "base", Plan(units=20, quality=PLAIN))
    better = Plan(units=20, quality=BETTER, settings=EXPLAINER, unexplained=("feature/3",))
    other = Plan(units=20, quality={**BETTER, "feature": 0.7}, settings=EXPLAINER)
    return base, made(folder / "better", better), made(folder / "other-sae", other, sae="b" * 64)


@pytest.fixture(scope="module")
def compared(runs: tuple[Path, Path, Path]) -> ComparedRuns:
    return compared_runs(runs)


def row(
    compared: ComparedRuns, run: str, arm: str, baseline: str = "", slice_name: str | None = None
) -> BetweenRunsRow:
    found = compared.row(run, arm, baseline, slice_name)
    assert found is not None
    return found


def equivalence(first: np.ndarray, second: np.ndarray | None = None) -> float:
    """Two one-sided tests, by scipy."""
    if second is None:
        above = stats.ttest_1samp(first, -MARGIN, alternative="greater").pvalue
        below = stats.ttest_1samp(first, MARGIN, alternative="less").pvalue
    else:
        above = stats.ttest_ind(first + MARGIN, second, equal_var=False, alternative="greater").pvalue
        below = stats.ttest_ind(first - MARGIN, second, equal_var=False, alternative="less").pvalue
    return max(float(above), float(below))


@pytest.mark.parametrize("slice_name", ["top-and-random", "random-only"])
def test_the_same_units_are_compared_unit_by_unit(
    compared: ComparedRuns, runs: tuple[Path, Path, Path], slice_name: str
) -> None:
    base, other = (values(run, "feature", slice_name=slice_name) for run in runs[:2])
    each = (other - base).dropna().to_numpy()
    found = row(compared, "better", "feature", slice_name=slice_name)
    assert (found.n, found.base_n, found.paired, found.unpaired) == (19, 20, 19, "")
    assert found.mean == pytest.approx(other.mean())
    assert found.base_mean == pytest.approx(base.mean())
    assert found.difference == pytest.approx(each.mean())
    assert found.p_equivalent == pytest.approx(equivalence(each))
    error = stats.sem(each)
    assert found.smallest == pytest.approx((stats.t.ppf(0.975, 18) + stats.t.ppf(0.8, 18)) * error)
    theirs = stats.permutation_test((each,), np.mean, permutation_type="samples", n_resamples=9999, rng=1)
    assert found.p == pytest.approx(theirs.pvalue, abs=0.03)
    assert (found.difference_low, found.difference_high) == pytest.approx(
        studentised(each), abs=0.6 * error
    )  # 1,000 resamples
    assert found.superiority == pytest.approx((each > 0).mean() + (each == 0).mean() / 2)


def studentised(each: np.ndarray) -> tuple[float, float]:
    """The bootstrap-t interval of a mean, by a plain loop."""
    rng = np.random.default_rng(7)
    drawn = [rng.choice(each, each.size) for _ in range(4000)]
    t = [(sample.mean() - each.mean()) / stats.sem(sample) for sample in drawn]
    high, low = np.quantile(t, [0.025, 0.975])
    return each.mean() - low * stats.sem(each), each.mean() - high * stats.sem(each)


def test_other_units_are_independent_samples(compared: ComparedRuns, runs: tuple[Path, Path, Path]) -> None:
    base, other = values(runs[0], "feature").to_numpy(), values(runs[2], "feature").to_numpy()
    found = row(compared, "other-sae", "feature")
    theirs = stats.ttest_ind(other, base, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert (found.paired, found.unpaired) == (None, OTHER_SAE)
    assert (found.difference_low, found.difference_high) == pytest.approx((interval.low, interval.high))
    assert found.p_equivalent == pytest.approx(equivalence(other, base))
    assert row(compared, "other-sae", "neuron").paired == 20


def test_a_difference_in_differences_of_the_same_units(compared: ComparedRuns, runs: tuple[Path, Path, Path]) -> None:
    features, neurons = (
        (values(runs[1], arm) - values(runs[0], arm)).dropna().to_numpy() for arm in ("feature", "neuron")
    )
    found = row(compared, "better", "feature", "neuron")
    theirs = stats.ttest_ind(features, neurons, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found.difference == pytest.approx(features.mean() - neurons.mean())
    assert (found.difference_low, found.difference_high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.p_equivalent == pytest.approx(equivalence(features, neurons))
    own = [values(runs[1], arm).mean() for arm in ("feature", "neuron")]
    assert found.mean == pytest.approx(own[0] - own[1])


def test_a_difference_in_differences_where_only_the_neurons_are_the_same(
    compared: ComparedRuns, runs: tuple[Path, Path, Path]
) -> None:
    parts = [
        values(runs[2], "feature").to_numpy(),
        values(runs[0], "feature").to_numpy(),
        (values(runs[2], "neuron") - values(runs[0], "neuron")).to_numpy(),
    ]
    squares = [part.var(ddof=1) / part.size for part in parts]
    freedom = sum(squares) ** 2 / sum(s**2 / (part.size - 1) for s, part in zip(squares, parts, strict=True))
    value = parts[0].mean() - parts[1].mean() - parts[2].mean()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(squares))
    found = row(compared, "other-sae", "feature", "neuron")
    assert (found.difference, found.difference_low, found.difference_high) == pytest.approx(
        (value, value - half, value + half)
    )


def test_p_are_adjusted_over_all_runs_within_their_family(compared: ComparedRuns) -> None:
    rows = [row for row in compared.rows if row.metric == "pearson"]
    primary = [r for r in rows if r.family == PRIMARY]
    assert [(r.run, r.arm, r.baseline) for r in primary] == [
        (run, "feature", baseline) for run in ("better", "other-sae") for baseline in ("", "neuron")
    ]
    for family in (primary, [r for r in rows if r.family == SECONDARY]):
        tested = sorted((r.p, place) for place, r in enumerate(family) if r.p is not None)
        highest = 0.0
        for rank, (p, place) in enumerate(tested):
            highest = max(highest, min(1.0, p * (len(tested) - rank)))
            assert family[place].p_holm == pytest.approx(highest)
    assert {r.family for r in rows if r.p is None} <= {""}


def test_units_that_differ_in_last_bits_alone_are_equal_and_few_that_differ_are_told(
    runs: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Resamples without the two units would have next to no spread, and the bootstrap's end would lie at -300."""
    scores = read_table(runs[0] / "scores.parquet")
    scores["value"] += np.random.default_rng(0).normal(0, 1e-8, len(scores))
    moved = (scores["unit"].isin(["feature/3", "feature/4"])) & (scores["pairing"] == "own")
    scores.loc[moved, "value"] -= 0.2
    other = changed(runs[0], tmp_path / "few", EXPLAINER, scores=scores)
    compared = compared_runs([runs[0], other])
    features, neurons = row(compared, "few", "feature"), row(compared, "few", "neuron")
    each = np.where(np.arange(20) < 2, -0.2, 0.0)
    interval = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert (features.difference_low, features.difference_high) == pytest.approx((interval.low, interval.high), abs=1e-6)
    assert features.note == "only 2 of 20 units differ"
    assert (neurons.difference, neurons.difference_low, neurons.p) == (0.0, None, None)


def test_a_known_shift_of_the_same_units_is_covered_and_other_units_would_hide_it(
    runs: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    shift = 0.03
    scores = read_table(runs[0] / "scores.parquet")
    scores["value"] += shift + np.random.default_rng(3).normal(0, 0.02, len(scores))
    same = changed(runs[0], tmp_path / "shifted", EXPLAINER, scores=scores)
    paired = row(compared_runs([runs[0], same]), "shifted", "feature")
    units = pd.read_parquet(runs[0] / "units.parquet")
    units.loc[units["arm"] == "direction", "density"] *= 2  # so that the names stand for other units
    other = changed(same, tmp_path / "others", EXPLAINER, units=units)
    apart = row(compared_runs([runs[0], other]), "others", "direction")
    of_same = row(compared_runs([runs[0], same]), "shifted", "direction")
    assert paired.difference_low is not None
    assert paired.difference_high is not None
    assert paired.difference_low < shift < paired.difference_high
    assert paired.difference_low > 0
    assert apart.unpaired
    assert apart.difference == pytest.approx(of_same.difference)
    assert _width(apart) > 3 * _width(of_same)


def _width(found: BetweenRunsRow) -> float:
    assert found.difference_low is not None
    assert found.difference_high is not None
    return found.difference_high - found.difference_low


def test_the_base_is_what_is_taken_off(runs: tuple[Path, Path, Path]) -> None:
    """Turned round, every sign is."""
    one, two = compared_runs(runs[:2]), compared_runs([runs[1], runs[0]])
    assert PLAIN["neuron"] < BETTER["neuron"]
    forward, back = row(one, "better", "neuron"), row(two, "base", "neuron")
    assert forward.difference is not None
    assert forward.difference > 0.05
    assert back.difference == pytest.approx(-forward.difference)


def _replicated(base: Path, folder: Path, seed: int, shift: float) -> Path:
    """A run of three replicates, the same units in each, with scores of its own in every one."""
    rng = np.random.default_rng(seed)
    draws = []
    lasting = rng.normal(shift, 0.1, len(read_table(base / "scores.parquet", ["unit"])))
    for _ in range(3):
        scores = read_table(base / "scores.parquet")
        scores["value"] += lasting + rng.normal(0, 0.02) + rng.normal(0, 0.05, len(scores))
        draws.append(scores)
    wanted = {**EXPLAINER, "seeds": {"simulate": seed}, "compare": {"replicates": 3, "redraw": ["explain"]}}
    run = changed(base, folder, wanted, scores=draws[0])
    for number, scores in enumerate(draws[1:], 1):
        changed(base, run / "replicates" / str(number), EXPLAINER, scores=scores)
    hold_replicates(load_study(run / "study.toml"), run, [run, *(run / "replicates" / n for n in "12")])
    return sealed(run, replicates=StageEntry("", {}))


def test_replicates_are_held_one_against_one_and_units_that_stay_widen_the_interval(
    runs: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, two = (_replicated(runs[0], tmp_path / name, seed, 0.05 * seed) for name, seed in (("one", 1), ("two", 2)))
    found = row(compared_runs([one, two]), "two", "feature")
    folders = ("", "replicates/1", "replicates/2")
    each = np.stack([(values(two / f, "feature") - values(one / f, "feature")).to_numpy() for f in folders], axis=1)
    n, draws = each.shape
    of_draws = each.mean(axis=0).var(ddof=1) / draws
    of_units = draws * each.mean(axis=1).var(ddof=1) / (n * draws)
    left = each - each.mean(axis=1, keepdims=True) - each.mean(axis=0) + each.mean()
    residual = (left**2).sum() / ((n - 1) * (draws - 1)) / (n * draws)
    assert of_units > residual  # so that the units add something
    variance = of_draws + of_units - residual
    squares = of_draws**2 / 2 + of_units**2 / (n - 1) + residual**2 / ((n - 1) * (draws - 1))
    error, freedom = np.sqrt(variance), variance**2 / squares
    half = stats.t.ppf(0.975, freedom) * error
    assert found.smallest == pytest.approx((stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom)) * error)
    assert found.p_equivalent == pytest.approx(
        max(stats.t.sf((each.mean() + 0.05) / error, freedom), stats.t.cdf((each.mean() - 0.05) / error, freedom))
    )
    assert (found.replicates, found.paired) == (3, 20)
    assert found.difference == pytest.approx(each.mean())
    assert (found.difference_low, found.difference_high) == pytest.approx((each.mean() - half, each.mean() + half))
    with pytest.raises(BadInput, match=r"other replicates: 3 \(explain drawn anew\) against 1 \(nothing drawn anew\)"):
        compared_runs([one, runs[0]])
