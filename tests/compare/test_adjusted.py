"""Equal token determinism from a run's tables: the covariates, the estimates, and what is said of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from autointerp.compare.covariates import COVARIATES
from autointerp.compare.outcome import Outcome, read_outcome
from autointerp.compare.stage import compare
from autointerp.compare.words import with_interval
from autointerp.metrics.adjustment import NO_SUPPORT, TOO_FEW
from autointerp.plot.adjusted import adjusted_differences
from autointerp.plot.stage import plot
from autointerp.plot.style import house_style
from autointerp.report.answer import answer
from autointerp.report.caveats import caveats
from autointerp.report.stage import report
from autointerp.tables import read_arrow, read_table, write_table
from tests.fake_run import Plan, finished

QUALITY = {"feature": 0.9, "neuron": 0.5, "neuron-sparse": 0.5}
LESS = {"score": {"metrics": ["pearson"], "slices": ["top-and-random"]}}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    plan = Plan(quality=QUALITY, units=16, evidence_top=12, evidence_random=8, unexplained=["neuron/1+"])
    plan.settings = {"score": {"metrics": ["pearson"], "slices": ["top-and-random", "random-only"]}}
    return read_outcome(finished(tmp_path_factory.mktemp("run"), plan))


def crossed(one: set[int], other: set[int], tokens: dict[int, list[int]], truth: dict[int, list[float]]) -> float:
    scores = []
    for table, tried in ((one, other), (other, one)):
        by_token = defaultdict[int, list[float]](list)
        for context in table:
            for token, value in zip(tokens[context], truth[context], strict=True):
                by_token[token].append(value)
        level = np.mean([value for values in by_token.values() for value in values])
        pairs = [
            (value, np.mean(by_token[token]) if token in by_token else level)
            for context in tried
            for token, value in zip(tokens[context], truth[context], strict=True)
        ]
        scores.append(np.corrcoef(np.array(pairs).T)[0, 1])
    return float(np.mean(scores))


def test_covariates_are_what_a_plain_loop_finds_in_the_evidence(outcome: Outcome) -> None:
    evidence, contexts, found = (
        read_arrow(outcome.run_dir / f"{name}.parquet").to_pylist() for name in ("evidence", "contexts", "covariates")
    )
    assert len(found) == 48
    tokens = {row["context"]: row["tokens"] for row in contexts if row["split"] == "evidence"}
    every = Counter(token for of_context in tokens.values() for token in of_context)
    density = dict(zip(outcome.units["unit"], outcome.units["density"], strict=True))
    for row in found[::11]:
        own = [one for one in evidence if one["unit"] == row["unit"] and one["context"] in tokens]
        truth = {one["context"]: one["activations"] for one in own}
        quarters: list[set[int]] = [set(), set(), set(), set()]
        for kind in ("top", "random"):
            for place, one in enumerate(one for one in own if one["kind"] == kind):
                if not any(one["context"] in quarter for quarter in quarters):
                    quarters[place % 4].add(one["context"])
        peaks = [tokens[c["context"]][int(np.argmax(c["activations"]))] for c in own if c["kind"] == "top"]
        shares = [count / len(peaks) for count in Counter(peaks).values()]
        logs = [np.log(every[peak] / every.total()) for peak in peaks]
        a, b, c, d = quarters
        assert row["status"] == "ok"
        assert row["log_density"] == pytest.approx(np.log(density[row["unit"]]))
        assert row["peak_entropy"] == pytest.approx(-sum(share * np.log2(share) for share in shares))
        assert row["peak_log_frequency"] == pytest.approx(np.mean(logs))
        assert row["peak_log_frequency_halves"] == pytest.approx([np.mean(logs[0::2]), np.mean(logs[1::2])])
        assert row["table_score"] == pytest.approx(crossed(a | c, b | d, tokens, truth))
        assert row["table_score_halves"] == pytest.approx([crossed(a, b, tokens, truth), crossed(c, d, tokens, truth)])


def test_a_unit_that_hides_its_evidence_is_a_row_with_its_reason(tmp_path: Path) -> None:
    run = finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.5}, units=3, settings=LESS, evidence_top=7))
    found = read_table(run / "covariates.parquet")
    assert set(found["reason"]) == {"fewer than 8 top contexts of evidence"}
    assert found["table_score"].isna().all()
    (line,) = (line for line in answer(read_outcome(run)) if "token determinism" in line)
    assert "nothing can be said of SAE features minus neurons: no scored unit of one of them has every" in line


def test_the_raw_difference_is_the_comparisons_and_every_estimate_is_there(outcome: Outcome) -> None:
    rows = outcome.adjusted
    assert {(row.arm, row.baseline) for row in rows} == {("feature", "neuron"), ("feature", "neuron-sparse")}
    for slice_name in outcome.slices:
        for baseline in ("neuron", "neuron-sparse"):
            own = [row for row in rows if (row.slice, row.baseline) == (slice_name, baseline)]
            raw, *held = own
            compared = outcome.row(outcome.headline, "feature", baseline)
            assert compared is not None
            if slice_name == outcome.headline.slice:
                assert raw.difference == pytest.approx(compared.difference)
                assert (raw.n, raw.n_baseline) == (compared.n, compared.n_baseline)
            assert [row.estimate for row in held] == ["adjusted", "matched", "corrected"] * (len(held) // 3)
            assert [row.covariates for row in held[: 3 * 4 : 3]] == [(name,) for name in COVARIATES]
            for row in held:
                assert (row.difference is None) == (row.low is None)
                assert row.note or row.low is not None
                assert row.pairs is not None
                assert row.share_matched == pytest.approx(row.pairs / min(row.n, row.n_baseline))


def test_the_first_lines_say_what_is_left_and_that_it_is_a_decomposition(outcome: Outcome) -> None:
    line = answer(outcome)[1]
    together = [row for row in outcome.adjusted if len(row.covariates) > 1 and row.baseline == "neuron"]
    adjusted = next(row for row in together if row.slice == outcome.headline.slice and row.estimate == "adjusted")
    assert line.startswith("At equal token determinism (decomposition, not the truth: it may be a mediator)")
    assert f" is {adjusted.difference:.2f} [".replace("-", "\u2212") in line
    assert f"in {adjusted.pairs} matched pairs" in line
    text = report(outcome.run_dir).read_text("utf8")
    assert text.index("At equal token determinism") < text.index("\n## ")
    section = text.partition("\n### At equal token determinism\n")[2].partition("\n### ")[0]
    assert section.count("\n| top and random contexts | SAE features minus neurons |") == 5
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| top and random")]
    cells = next(c for c in lines if c[1] == "SAE features minus neurons" and " and " in c[2])
    of = {row.estimate: row for row in together if row.slice == outcome.headline.slice}
    for column, estimate in ((4, "adjusted"), (5, "matched"), (8, "corrected")):
        row = of[estimate]
        shown = row.note if row.difference is None else with_interval(row.difference, row.low, row.high)
        assert cells[column] == shown
    assert not any("no table `adjusted`" in caveat for caveat in caveats(outcome))


def test_arms_that_do_not_meet_are_refused_by_name(outcome: Outcome, tmp_path: Path) -> None:
    run = finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.5}, units=16, settings=LESS, evidence_top=12))
    units = read_table(run / "units.parquet").to_dict("records")
    for unit in units:
        unit["density"] *= 1e-3 if unit["arm"] == "feature" else 1
    write_table("units", run / "units.parquet", units)
    compare(read_outcome(run).study, run)
    found = read_outcome(run)
    refused = [row for row in found.adjusted if row.covariates == ("log_density",)]
    assert {(row.difference, row.note) for row in refused} == {(None, NO_SUPPORT)}
    together = [row for row in found.adjusted if len(row.covariates) > 1]
    assert together
    assert all("log_density" in row.left_out for row in together)
    assert "Not held equal, for no common support: density" in answer(found)[1]


def test_few_units_are_refused_in_words(tmp_path: Path) -> None:
    found = read_outcome(
        finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.5}, units=5, settings=LESS, evidence_top=12))
    )
    assert {row.note for row in found.adjusted if row.estimate != "raw"} == {TOO_FEW}
    assert f"nothing can be said of SAE features minus neurons: {TOO_FEW}." in answer(found)[1]


def test_a_folder_of_before_is_reported_and_says_what_it_lacks(tmp_path: Path) -> None:
    run = finished(tmp_path, Plan(quality={"feature": 0.9, "neuron": 0.5}, units=3, settings=LESS))
    for name in ("adjusted", "covariates"):
        (run / f"{name}.parquet").unlink()
    text = report(run).read_text("utf8")
    assert "this folder has no table \\`adjusted\\`" in text
    assert "## At equal token determinism" not in text
    assert "equal-determinism" not in {path.stem for path in plot(run)}


def test_the_figure_shows_the_numbers_of_the_table(outcome: Outcome) -> None:
    with house_style():
        figure = adjusted_differences(outcome)
    for panel, slice_name in zip(figure.axes, outcome.drawn_slices, strict=True):
        rows = [row for row in outcome.adjusted if row.slice == slice_name and row.difference is not None]
        points = [
            float(np.asarray(line.get_xdata())[0]) for line in panel.lines if line.get_marker() in ("D", "o", "s", "^")
        ]
        assert points == [row.difference for row in rows]
    names = {path.stem for path in plot(outcome.run_dir)}
    assert "equal-determinism" in names
    assert "(figures/equal-determinism.png)" in report(outcome.run_dir).read_text("utf8")
