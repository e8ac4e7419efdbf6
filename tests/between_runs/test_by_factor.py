"""Runs that redraw one factor each, put together: every number against a plain loop, and what is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from autointerp.__main__ import main
from autointerp.artifacts import hash_file
from autointerp.between_runs.answer_by_factor import PAPER, lines_of, of_the_paper
from autointerp.between_runs.by_factor import ALL_FACTORS, CONSISTENCY, MISSING, PIPELINE, SAMPLING, SHARE, TOO_FEW, TOP
from autointerp.between_runs.factor_results import FactorResults
from autointerp.between_runs.figure_by_factor import by_factor
from autointerp.between_runs.putting_together import put_together
from autointerp.between_runs.redrawn import ReadAs
from autointerp.compare.replicates import ICC, MEAN, RANK, REPLICATE, RESIDUAL, UNCHANGED
from autointerp.errors import BadInput
from autointerp.metrics.shares import TOTAL, UNIT
from autointerp.records import Pairing
from autointerp.run.manifest import StageEntry
from autointerp.tables import read_table
from tests.between_runs.made import made, redrawing, sealed
from tests.fake_run import Plan

UNITS = 8
LIFT, LITERALLY, TABLE = ReadAs("lift"), ReadAs("literal"), ReadAs("lookup")
SHUFFLED = ReadAs("lift", Pairing.SHUFFLED)
ALONE = {"evidence": 0.08, "explain": 0.02}
"""Standard deviation of what a redraw does to a unit alone, of the factors that leave units as they are."""
SHIFTS: Mapping[str, Sequence[float]] = {
    "sae": (0.01, -0.01, 0.0), "units": (0.3, -0.2, 0.3),
    "evidence": (0.05, -0.04, 0.02), "explain": (0.01, 0.0, -0.01),
}  # fmt: skip
"""By how much the features of each draw score higher than in the run itself."""


def _changed(base: pd.DataFrame, factor: str, number: int, shift: float) -> pd.DataFrame:
    """The scores of another draw: another SAE has other features and the same neurons, other units are other ones."""
    rng, frame = np.random.default_rng([number, *factor.encode()]), base.copy()
    features = frame["arm"] == "feature"
    if factor in ("sae", "units"):
        anew = features if factor == "sae" else frame["arm"].isin(["feature", "neuron"])
        frame.loc[anew, "unit"] = frame.loc[anew, "unit"].map(lambda unit: unit.replace("/", f"/{number}00"))
        frame.loc[anew, "value"] = rng.uniform(0.2, 0.9, anew.sum()) + shift * features[anew]
        return frame
    by_unit = {unit: rng.normal(0, ALONE[factor]) for unit in frame["unit"].unique()}
    frame["value"] += frame["unit"].map(by_unit) + features * shift
    return frame


def _scores(base: Path) -> pd.DataFrame:
    """Those of the run, and the same once more as if they were read literally: at half the height."""
    scores = read_table(base / "scores.parquet")
    own = (scores["pairing"] == "own") & (scores["scorer"] == "lift")
    again = scores[own].assign(scorer="literal", value=lambda rows: rows["value"] / 2)
    return pd.concat([scores, again], ignore_index=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made(tmp_path_factory.mktemp("runs") / "base", Plan(units=UNITS, quality={"feature": 0.9, "neuron": 0.5}))
    _scores(folder).to_parquet(folder / "scores.parquet")
    return sealed(folder)


@pytest.fixture(scope="module")
def runs(base: Path) -> dict[str, Path]:
    scores = read_table(base / "scores.parquet")
    return {
        factor: redrawing(
            base, base.parent / factor, factor,
            [_changed(scores, factor, number, shift) for number, shift in enumerate(shifts, start=1)],
        )
        for factor, shifts in SHIFTS.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def results(runs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> FactorResults:
    return put_together(
        [runs[name] for name in ("explain", "units", "sae", "evidence")], tmp_path_factory.mktemp("out")
    )


def _value(
    results: FactorResults, component: str, arm: str, factor: str, baseline: str = "", way: ReadAs = LIFT
) -> float:
    found = results.row(component, way, arm, baseline, factor)
    assert found is not None
    assert found.value is not None
    return found.value


def _by_draw(run: Path, arm: str, way: ReadAs = LIFT) -> pd.DataFrame:
    """Scores of an arm, a column per draw, read off the tables alone."""
    found = []
    for folder in (run, *sorted((run / "replicates").iterdir())):
        table = read_table(folder / "scores.parquet").query(
            f"arm == '{arm}' and scorer == '{way.scorer}' and pairing == '{way.pairing.value}' and metric == 'pearson' "
            "and slice == 'top-and-random' and status == 'ok'"
        )
        found.append(table.set_index(table["unit"].str.rstrip("+-"))["value"].sort_index())
    return pd.concat(found, axis=1, ignore_index=True)


@pytest.mark.parametrize("arm", ["feature", "neuron"])
@pytest.mark.parametrize("factor", ["evidence", "explain"])
@pytest.mark.parametrize("way", [LIFT, LITERALLY, SHUFFLED])
def test_where_units_stay_every_part_is_that_of_a_plain_analysis_of_variance(
    results: FactorResults, runs: Mapping[str, Path], arm: str, factor: str, way: ReadAs
) -> None:
    values = _by_draw(runs[factor], arm, way).to_numpy()
    n, draws = values.shape
    assert (n, draws) == (UNITS, 4)
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    residual = (left**2).sum() / ((n - 1) * (draws - 1))
    of_units = draws * values.mean(axis=1).var(ddof=1)
    of_draws = n * values.mean(axis=0).var(ddof=1)
    expected = {
        MEAN: values.mean(),
        RESIDUAL: residual,
        REPLICATE: max(0.0, (of_draws - residual) / n),
        UNIT: (of_units - residual) / draws,
        SAMPLING: values.var(axis=0, ddof=1).mean() / n,
        ICC: (of_units - residual) / (of_units + (draws - 1) * residual + draws * (of_draws - residual) / n),
        CONSISTENCY: (of_units - residual) / (of_units + (draws - 1) * residual),
        RANK: np.mean([pd.Series(values[:, a]).corr(pd.Series(values[:, b]), "spearman")
                       for a in range(draws) for b in range(a)]),
        TOP: np.mean([len({*np.argsort(values[:, a])[-2:]} & {*np.argsort(values[:, b])[-2:]}) / 2
                      for a in range(draws) for b in range(a)]),
    }  # fmt: skip
    for component, value in expected.items():
        assert _value(results, component, arm, factor, way=way) == pytest.approx(value), component


def test_where_units_change_only_means_are_held_together(results: FactorResults, runs: Mapping[str, Path]) -> None:
    """Other features in every draw; neurons do not depend on the SAE, and are told to be the same."""
    draws = [_by_draw(runs["sae"], "feature")[n].dropna() for n in range(4)]
    assert [len(one) for one in draws] == [UNITS] * 4
    spread = np.mean([one.var(ddof=1) for one in draws])
    means = np.array([one.mean() for one in draws])
    assert _value(results, REPLICATE, "feature", "sae") == pytest.approx(max(0.0, means.var(ddof=1) - spread / UNITS))
    assert _value(results, UNIT, "feature", "sae") == pytest.approx(spread)
    assert results.row(ICC, LIFT, "feature", factor="sae") is None
    assert results.row(RESIDUAL, LIFT, "feature", factor="sae") is None
    assert _value(results, REPLICATE, "neuron", "sae") == _value(results, SHARE, "neuron", "sae") == 0
    assert next(r.note for r in results.rows if (r.factor, r.arm, r.component) == ("sae", "neuron", MEAN)) == UNCHANGED


def test_the_difference_moves_by_what_draws_do_beyond_chance(results: FactorResults, runs: Mapping[str, Path]) -> None:
    total, shifts = 0.0, {}
    for factor in SHIFTS:
        arms = [_by_draw(runs[factor], arm) for arm in ("feature", "neuron")]
        difference = (arms[0].mean() - arms[1].mean()).to_numpy()
        parts = {"sae": ((UNIT, "feature"),), "units": ((UNIT, "feature"), (UNIT, "neuron"))}
        of_chance = parts.get(factor, ((RESIDUAL, "feature"), (RESIDUAL, "neuron")))
        by_chance = sum(_value(results, part, arm, factor) / UNITS for part, arm in of_chance)
        shifts[factor] = difference.var(ddof=1) - by_chance
        total += shifts[factor] * (factor != "units")  # a check, and in no sum
        assert _value(results, REPLICATE, "feature", factor, "neuron") == pytest.approx(max(0.0, shifts[factor]))
        assert _value(results, MEAN, "feature", factor, "neuron") == pytest.approx(difference.mean())
    assert _value(results, REPLICATE, "feature", ALL_FACTORS, "neuron") == pytest.approx(max(0.0, total))
    without = max(0.0, total - shifts["sae"])
    assert _value(results, REPLICATE, "feature", PIPELINE, "neuron") == pytest.approx(without)
    sampling = [_value(results, SAMPLING, "feature", factor, "neuron") for factor in SHIFTS]
    assert _value(results, SAMPLING, "feature", ALL_FACTORS, "neuron") == pytest.approx(np.mean(sampling))


@pytest.mark.parametrize("arm", ["feature", "neuron"])
@pytest.mark.parametrize("way", [LIFT, LITERALLY, TABLE, SHUFFLED])
def test_the_shares_of_a_unit_s_score_are_of_one_variance(results: FactorResults, arm: str, way: ReadAs) -> None:
    found = {name: _value(results, SHARE, arm, name, way=way) for name in (UNIT, "sae", "evidence", "explain")}
    assert sum(found.values()) == pytest.approx(1)
    assert results.row(SHARE, way, arm, factor="units") is None
    whole = _value(results, TOTAL, arm, ALL_FACTORS, way=way)
    for factor in ("evidence", "explain"):
        parts = _value(results, REPLICATE, arm, factor, way=way) + _value(results, RESIDUAL, arm, factor, way=way)
        assert found[factor] * whole == pytest.approx(parts, rel=0.25)  # a shift below 0 is cut before or after adding
    row = results.row(SHARE, way, arm, factor="evidence")
    assert row is not None
    assert row.low is not None
    assert row.high is not None
    assert row.low < found["evidence"] < row.high


def test_the_page_the_figure_and_the_lines_have_the_numbers_of_the_table(results: FactorResults) -> None:
    figure = by_factor(results)
    above, below = figure.axes
    widths = [bar.get_width() for bar in above.patches if isinstance(bar, Rectangle)]
    names = (UNIT, *results.in_sums)
    bars = [(arm, way) for arm in ("feature", "neuron") for way in (LIFT, LITERALLY, TABLE)]
    assert widths == pytest.approx([_value(results, SHARE, arm, name, way=way) for arm, way in bars for name in names])
    lines = [
        (line.get_marker(), line.get_linestyle(), np.asarray(line.get_xdata(), dtype=np.float64))
        for line in below.lines
    ]
    drawn = [float(x[0]) for marker, _, x in lines if marker == "D"]
    names = (*results.factors, ALL_FACTORS)
    assert drawn == pytest.approx([_value(results, REPLICATE, "feature", name, "neuron") ** 0.5 for name in names])
    (reference,) = (x for _, style, x in lines if style == "--")
    sampling = _value(results, SAMPLING, "feature", ALL_FACTORS, "neuron") ** 0.5
    assert reference == pytest.approx([sampling] * 2)
    said = " ".join(lines_of(results))
    assert f"The choice of units gives {sampling:.3f} in one draw by itself" in said
    for name in (UNIT, "evidence"):
        assert f"{_value(results, SHARE, 'feature', name):.0%} [" in said
    assert "What SAE seed does to a unit alone is known of neurons and not of SAE features" in said
    assert "what two of them do together (interactions) is not seen" in said
    assert "Under 5 draws in sae (4), units (4), evidence (4), explain (4)" in said
    assert "Not drawn anew, and so held as if they did nothing: corpus and simulator." in said


def test_what_it_wrote_is_written_again_from_the_table_alone(
    runs: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["autointerp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    shown = call("variance", *map(str, runs.values()))
    assert shown.startswith("The variance of one score of SAE features (lift, Pearson correlation, ")
    out = tmp_path / "results" / "variance"
    written = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(written) == {
        "variance_sources.parquet", "variance.md", "about.json", "study.toml", "figures/variance-by-factor.png",
        "figures/variance-by-factor.svg",
    }  # fmt: skip
    page = written["variance.md"].decode()
    assert PAPER in page
    assert all((out / picture).is_file() for picture in re.findall(r"\]\((figures/\S+)\)", page))
    for name in ("variance.md", "figures/variance-by-factor.png", "figures/variance-by-factor.svg"):
        (out / name).unlink()
    assert call("report", str(out)) == "results/variance/variance.md\n".replace("results", str(tmp_path / "results"))
    assert len(call("plot", str(out)).splitlines()) == 2
    assert {n: (out / n).read_bytes() for n in written} == written


def _drawn_by(base: Path, tmp_path: Path, shifts: Mapping[str, float], alone: float) -> str:
    """What is said of the paper where each factor's five draws shift the features so far apart."""
    scores, made_of = read_table(base / "scores.parquet"), []
    for factor, apart in shifts.items():
        draws = []
        for number, step in enumerate((-1.5, -0.5, 0.5, 1.5)):
            frame = scores.copy()
            by_unit = {
                unit: np.random.default_rng([number, i]).normal(0, alone)
                for i, unit in enumerate(frame["unit"].unique())
            }
            frame["value"] += (frame["arm"] == "feature") * step * apart + frame["unit"].map(by_unit)
            draws.append(frame)
        made_of.append(redrawing(base, tmp_path / factor, factor, draws))
    return "\n".join(of_the_paper(put_together(made_of, tmp_path / "out")))


@pytest.mark.parametrize(
    ("shifts", "alone", "verdicts"),
    [
        ({"sae": 0.0, "evidence": 0.2}, 0.001, ["the same order", "single features keep their scores"]),
        ({"sae": 0.9, "evidence": 0.0}, 0.001, ["the other order", "single features keep their scores"]),
        ({"sae": 0.01, "evidence": 0.01}, 0.5, ["can't be told from so few draws", "it agrees"]),
        ({"sae": 0.9, "evidence": 0.0}, 0.025, ["the other order", "can't be told (0.75"]),
        (
            {"sae": 0.1, "explain": 0.1},
            0.0,
            ["which is larger can't be told", "it takes a run that redraws the contexts"],
        ),
        ({"corpus": 0.1, "explain": 0.1}, 0.0, ["it takes a run that redraws the SAE", "it takes a run"]),
    ],
)
def test_whether_a_paper_is_right_is_only_said_where_the_intervals_show_it(
    base: Path, tmp_path: Path, shifts: Mapping[str, float], alone: float, verdicts: Sequence[str]
) -> None:
    first, second, third = _drawn_by(base, tmp_path, shifts, alone).splitlines()
    assert verdicts[0] in first
    assert "Not looked at" in second
    assert verdicts[1] in third


def test_units_without_a_score_are_counted_out_and_a_draw_without_any_is_said(base: Path, tmp_path: Path) -> None:
    scores = read_table(base / "scores.parquet")
    own = (scores["scorer"] == "lift") & (scores["pairing"] == "own") & (scores["arm"] == "feature")

    def without(*numbers: int) -> pd.DataFrame:
        frame = scores.copy()
        frame.loc[own & frame["unit"].isin([f"feature/{n}" for n in numbers]), ["value", "status", "reason"]] = (
            None, "unscored", "constant",
        )  # fmt: skip
        frame.loc[own & (frame["status"] == "ok"), "value"] += 0.01 * len(numbers)
        return frame

    two = redrawing(base, tmp_path / "explain", "explain", [without(0), without(1)])
    most = redrawing(base, tmp_path / "evidence", "evidence", [without(0, 1, 2), without(3, 4, 5)])
    found = put_together([two, most], tmp_path / "some")
    row = found.row(RESIDUAL, LIFT, "feature", factor="explain")
    assert row is not None
    assert row.units == UNITS - 2
    few = found.row(REPLICATE, LIFT, "feature", factor="evidence")
    assert few is not None
    assert TOO_FEW in few.note
    assert found.row(RESIDUAL, LIFT, "feature", factor="evidence") is None
    none = redrawing(base, tmp_path / "simulate", "simulate", [without(*range(UNITS)), without(1)])
    empty = put_together([two, none], tmp_path / "none")
    assert {
        r.note for r in empty.rows if (r.component, r.arm, r.scorer, r.pairing) == (SHARE, "feature", "lift", "own")
    } == {MISSING}
    assert any("can't be put together" in line for line in lines_of(empty))
    assert by_factor(empty).axes


def test_a_first_draw_that_is_another_one_is_said(base: Path, runs: Mapping[str, Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs["sae"], tmp_path / "sae")
    frame = read_table(other / "scores.parquet")
    frame.loc[frame["unit"] == "feature/1", "value"] += 0.02
    frame.to_parquet(other / "scores.parquet")
    paths = [f"replicates/{n}/scores.parquet" for n in (1, 2, 3)]
    sealed(other, replicates=StageEntry("", {path: hash_file(other / path) for path in paths}))
    said = put_together([other, runs["explain"]], tmp_path / "out").put_together.caveats
    assert any("1 of 16 units score otherwise in explain than in sae (by up to 0.02)" in line for line in said)


REFUSED: Sequence[tuple[dict[str, Any], str, str]] = [
    ({"replicates": 1}, "has one replicate, so nothing was drawn anew", "compare.replicates = 5"),
    ({"redraw": ["sae", "explain"]}, "redraws sae, explain together", "name one factor"),
    ({"replicates": 2}, "has 2 replicates, too few", "compare.replicates = 5"),
    ({"margin": 0.1}, "compare.margin 0.05 against 0.1", "--set compare.redraw alone"),
    ({"redraw": ["explain"]}, "both redraw explain", "leave one of them out"),
]


@pytest.mark.parametrize(("compare", "said", "remedy"), REFUSED)
def test_what_can_t_be_put_together_is_refused(
    base: Path, runs: Mapping[str, Path], tmp_path: Path, compare: dict[str, Any], said: str, remedy: str
) -> None:
    scores = read_table(base / "scores.parquet")
    other = redrawing(base, tmp_path / "other", "simulate", [scores, scores], **compare)
    with pytest.raises(BadInput) as refused:
        put_together([runs["explain"], other], tmp_path / "out")
    assert said in str(refused.value)
    assert remedy in (refused.value.remedy or "")
    assert not (tmp_path / "out").exists()


def test_one_run_and_what_is_no_finished_run_are_refused(base: Path, runs: Mapping[str, Path], tmp_path: Path) -> None:
    explain = runs["explain"]
    with pytest.raises(BadInput, match="1 run to put together"):
        put_together([explain], tmp_path / "out")
    with pytest.raises(BadInput, match="is a run folder"):
        put_together([explain, runs["sae"]], base)
    unfinished = sealed(shutil.copytree(runs["sae"], tmp_path / "unfinished"))
    with pytest.raises(BadInput, match="its replicates have not run"):
        put_together([explain, unfinished], tmp_path / "out")
    damaged = shutil.copytree(runs["sae"], tmp_path / "damaged")
    (damaged / "replicates" / "2" / "scores.parquet").write_bytes(b"")
    with pytest.raises(BadInput, match=r"replicates/2/scores.parquet is not what stage 'replicates' wrote"):
        put_together([explain, damaged], tmp_path / "out")
    assert all(first != second for first, second in pairwise(runs.values()))
