"""The table of measures against pandas and scipy, and what figure, report and answer make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from statsmodels.stats.multitest import multipletests

from autointerp.compare.measures import ELIGIBLE, OF_EVIDENCE, by_telling, measure_all, measure_words
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.scrambled import hold_against_scrambled
from autointerp.compare.words import with_interval
from autointerp.plot.measures import measures
from autointerp.report.measures import section, sentences
from autointerp.report.stage import report
from autointerp.scrambled_rows import MeasureRow
from autointerp.tables import read_table
from sae.architectures.standard import StandardSae
from sae.checkpoint import save
from tests.fake_run import Plan, finished

FEATURES, NEURONS, WIDTH, D_IN = "scrambled-feature:permuted-{}", "scrambled-neuron:permuted-{}", 40, 30


def made(folder: Path, seeds: int, there: Mapping[str, float], units: int = 12) -> Outcome:
    """A finished run with planted effects: `there` is how far explanations know the units of scrambled subjects."""
    arms = {"feature": 0.9, "neuron": 0.4}
    for seed in range(seeds):
        arms |= {FEATURES.format(seed): there["feature"], NEURONS.format(seed): there["neuron"]}
    excluded = {"feature": 3, "neuron": 2, FEATURES.format(0): 9, NEURONS.format(0): 1}
    plan = Plan(
        arms, units, evidence_top=8, evidence_random=4, excluded=excluded, unexplained=["feature/3"],
        settings={"scrambled": {"seeds": list(range(seeds))}},
    )  # fmt: skip
    finished(folder, plan)
    for name in ("sae", *(f"sae@permuted-{seed}" for seed in range(seeds))):
        write_sae(folder / "sae" / name)
    study = read_outcome(folder).study
    hold_against_scrambled(study, folder)
    measure_all(study, folder)
    return read_outcome(folder)


def write_sae(folder: Path) -> None:
    weights, bias = torch.zeros(D_IN, WIDTH), torch.zeros(D_IN)
    save(StandardSae(weights, weights.T.contiguous(), bias, True, torch.zeros(WIDTH)), folder, {})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return made(tmp_path_factory.mktemp("three"), 3, {"feature": 0.9, "neuron": 0.4})


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return made(tmp_path_factory.mktemp("one"), 1, {"feature": 0.2, "neuron": 0.4})


def values_of(outcome: Outcome, row: MeasureRow) -> pd.DataFrame:
    """Arm and value of every unit that has one, by pandas alone."""
    if row.metric == ELIGIBLE:
        units = outcome.units
        parts = []
        for arm, of_arm in units.groupby("arm"):
            out = int((of_arm["status"] == "excluded").sum())
            total = WIDTH if "feature" in str(arm) else D_IN
            parts.append(pd.DataFrame({"arm": arm, "value": [1.0] * (total - out) + [0.0] * out}))
        return pd.concat(parts)
    if row.scorer == OF_EVIDENCE:
        return (
            read_table(outcome.run_dir / "covariates.parquet")[["arm", row.metric]]
            .dropna()
            .set_axis(["arm", "value"], axis=1)
        )
    scores = outcome.scores
    here = scores[
        (scores["metric"] == row.metric) & (scores["slice"] == row.slice) & (scores["pairing"] == row.pairing)
    ]
    own = here[(here["scorer"] == row.scorer) & (here["status"] == "ok")]
    if not row.minus:
        return own[["arm", "value"]]
    other = here[(here["scorer"] == row.minus) & (here["status"] == "ok")]
    both = own.merge(other, on=["unit", "arm"], suffixes=("", "_other"))
    return both.assign(value=both["value"] - both["value_other"])[["arm", "value"]]


def expected(outcome: Outcome, row: MeasureRow, arms: tuple[str, ...]) -> tuple[float, float, float, float]:
    """Difference, interval and p: own units as they are, seeds as units from three on."""
    by_arm = {arm: frame["value"].to_numpy() for arm, frame in values_of(outcome, row).groupby("arm")}
    there = {"feature": FEATURES, "neuron": NEURONS}
    signs = (1, -1)
    value, parts = 0.0, []
    for arm, sign in zip(arms, signs, strict=False):
        value += sign * by_arm[arm].mean()
        parts.append((by_arm[arm].var(ddof=1) / len(by_arm[arm]), len(by_arm[arm]) - 1))
    if row.subjects >= 3:
        draws = [
            sum(sign * by_arm[there[arm].format(seed)].mean() for arm, sign in zip(arms, signs, strict=False))
            for seed in range(row.subjects)
        ]
        value -= float(np.mean(draws))
        parts.append((np.var(draws, ddof=1) / len(draws), len(draws) - 1))
    else:
        for arm, sign in zip(arms, signs, strict=False):
            values = by_arm[there[arm].format(0)]
            value -= sign * values.mean()
            parts.append((values.var(ddof=1) / len(values), len(values) - 1))
    variance = sum(v for v, _ in parts)
    t = stats.t(variance**2 / sum(v**2 / f for v, f in parts))
    reach, p = t.ppf(0.975) * np.sqrt(variance), 2 * t.sf(abs(value) / np.sqrt(variance))
    return value, value - reach, value + reach, p


@pytest.mark.parametrize("name", ["three", "one"])
def test_every_number_is_that_of_pandas_and_scipy(name: str, request: pytest.FixtureRequest) -> None:
    outcome: Outcome = request.getfixturevalue(name)
    rows = outcome.measures
    kinds = {(row.scorer, row.minus) for row in rows}
    assert kinds == {("lift", ""), ("lookup", ""), ("lift", "lookup"), (OF_EVIDENCE, "")}
    assert {row.metric for row in rows if row.scorer == OF_EVIDENCE} == {
        "log_density", "peak_entropy", "peak_log_frequency", "table_score", ELIGIBLE,
    }  # fmt: skip
    assert len(rows) == 2 * 2 * 3 + 5, "two metrics, two slices; two scorers and one less the other"
    checked = 0
    for row in rows:
        if row.p is None:
            continue
        checked += 1
        for arms, found in (
            (("feature",), (row.features_difference, row.features_low, row.features_high, row.features_p)),
            (("neuron",), (row.neurons_difference, row.neurons_low, row.neurons_high)),
            (("feature", "neuron"), (row.difference, row.low, row.high, row.p)),
        ):
            if found[1] is not None:
                assert found == pytest.approx(expected(outcome, row, arms)[: len(found)], abs=1e-12), row
        values = values_of(outcome, row).groupby("arm")["value"]
        assert (row.features, row.neurons) == pytest.approx((values.mean()["feature"], values.mean()["neuron"]))
        assert (row.n_features, row.n_neurons) == (values.size()["feature"], values.size()["neuron"])
        assert row.features_scrambled == pytest.approx(
            np.mean([values.mean()[FEATURES.format(seed)] for seed in range(row.subjects)])
        )
        assert row.n_neurons_scrambled == sum(values.size()[NEURONS.format(seed)] for seed in range(row.subjects))
    assert checked > 12
    assert {row.scorer for row in rows if row.p is None} <= {"lookup"}, "planted tables know all: nothing varies"
    for adjusted, plain in (("p_holm", "p"), ("features_p_holm", "features_p")):
        known = [row for row in rows if getattr(row, plain) is not None]
        theirs = multipletests([getattr(row, plain) for row in known], method="holm")[1]
        assert [getattr(row, adjusted) for row in known] == pytest.approx(theirs.tolist())


def test_units_that_were_left_out_count_against_their_arm(three: Outcome) -> None:
    (row,) = (row for row in three.measures if row.metric == ELIGIBLE)
    assert (row.features, row.neurons) == pytest.approx((1 - 3 / WIDTH, 1 - 2 / D_IN))
    assert row.features_scrambled == pytest.approx(1 - 9 / WIDTH / 3)
    assert row.n_features_scrambled == 3 * WIDTH


def test_the_answer_names_what_tells_and_says_so_where_nothing_does(three: Outcome, one: Outcome) -> None:
    (told,), (nothing,) = list(sentences(one)), list(sentences(three))
    best = by_telling(one.measures)[0]
    assert best.p_holm is not None
    assert best.p_holm < 0.05
    assert "trained from scrambled weights (permuted) by SAE features minus neurons after adjusting" in told
    assert f"(Holm): {measure_words(best)}: {with_interval(best.difference, best.low, best.high)}, adjusted p" in told
    assert "no measure here tells trained from scrambled weights" in nothing
    assert min(row.p_holm for row in three.measures if row.p_holm is not None) >= 0.05
    for outcome, sentence in ((one, told), (three, nothing)):
        assert sentence in outcome_lines(outcome)
        assert f"Of {sum(row.p is not None for row in outcome.measures)} measures tried (exploratory" in sentence


def outcome_lines(outcome: Outcome) -> str:
    text = report(outcome.run_dir).read_text("utf8")
    return text.replace("\\", "")


def test_the_section_has_every_number_in_its_column_best_first(one: Outcome) -> None:
    lines = [line for line in section(one).splitlines() if line.startswith("| ")][1:]
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    order = by_telling(one.measures)
    assert [cells[0].replace("\\", "") for cells in shown] == [measure_words(row) for row in order]
    assert [row.p for row in order if row.p is not None] == sorted(row.p for row in order if row.p is not None)
    for cells, row in zip(shown, order, strict=True):
        assert cells[3] == with_interval(row.features_difference, row.features_low, row.features_high)
        assert cells[6] == with_interval(row.neurons_difference, row.neurons_low, row.neurons_high)
        assert cells[7] == with_interval(row.difference, row.low, row.high)
        sizes = (row.n_features, row.n_neurons, row.n_features_scrambled, row.n_neurons_scrambled)
        assert cells[10] == "{} and {} v {} and {}".format(*sizes)
    assert "All others: over units alone: 1 scrambled subject." in section(one)
    assert "random contexts alone: nothing varies." in section(one)


def test_the_figure_shows_the_numbers_of_the_table(one: Outcome) -> None:
    figure = measures(one)
    assert figure is not None
    rows = [
        row
        for row in by_telling(one.measures)
        if row.p is not None and (row.metric == "pearson" or row.scorer == OF_EVIDENCE or (row.p_holm or 1) < 0.05)
    ]
    for axes, below in zip(figure.axes, (False, True), strict=True):
        here = [row for row in rows if (row.scorer == OF_EVIDENCE) == below]
        marks = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "D"]
        assert marks == [row.difference for row in here if row.difference is not None]
        circles = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "o"]
        assert circles == [row.features_difference for row in here if row.features_difference is not None]
        assert len(axes.get_yticklabels()) == len(here)


def test_without_scrambled_subjects_or_their_table_nothing_is_said(one: Outcome, tmp_path: Path) -> None:
    bare = replace(one, run_dir=tmp_path)
    assert bare.measures == ()
    assert section(bare) == ""
    assert list(sentences(bare)) == []
    assert measures(bare) is None
