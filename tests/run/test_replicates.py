"""Replicates: what is drawn anew, what is shared, and that a run of several goes on where it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import autointerp
from autointerp import progress
from autointerp.artifacts import read_json
from autointerp.compare.replicates import DRAW, ICC, MEAN, UNCHANGED
from autointerp.compare.scrambled import OVER_REPLICATES
from autointerp.errors import BadInput
from autointerp.llm.open import Mode
from autointerp.run.folder import Run
from autointerp.run.replicates import redrawn
from autointerp.run.resources import Resources
from autointerp.run.stages import stages
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import load_study, parse_study
from autointerp.study_inputs import FACTORS
from autointerp.tables import read_arrow, read_table
from autointerp.units.scrambled import ScrambledFeatures, scrambled_arm
from tests.small import small_study

SHARED = ("corpus", "train", "collect")
SMALLER = ("units.controls=[]", "sae.0.train.passes=1")
SIMULATED = "simulate: lift"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(tmp_path_factory.mktemp("input"), "compare.replicates=3", 'compare.redraw=["explain"]', *SMALLER)


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Interrupted while its second replicate simulates, one after the other, and carried on side by side."""
    folder = tmp_path_factory.mktemp("out") / "run"
    advance: Callable[..., None] = progress._Plain.advance

    def watching(self: progress._Plain, n: int = 1, *, free: bool = False) -> None:
        if self._label == SIMULATED and (folder / "replicates" / "1" / "explanations.parquet").exists():
            raise KeyboardInterrupt
        advance(self, n, free=free)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(progress._Plain, "advance", watching)
        with pytest.raises(KeyboardInterrupt):
            autointerp.run(_at_once(study, 1), folder)
    shutil.copy(folder / "manifest.json", folder.parent / "base.json")
    shutil.copy(folder / "replicates" / "1" / "manifest.json", folder.parent / "first.json")
    return autointerp.run(_at_once(study, 2), folder)


def _at_once(study: Study, number: int) -> Study:
    return study.model_copy(update={"compare": study.compare.model_copy(update={"side_by_side": number})})


def _facts(path: Path) -> dict[str, Any]:
    return {name: stage["facts"] for name, stage in read_json(path)["stages"].items()}


@pytest.mark.pipeline
@pytest.mark.slow
def test_what_does_not_depend_on_the_draw_is_made_once(finished: Run) -> None:
    for number in "12":
        folder = finished.folder / "replicates" / number
        facts = _facts(folder / "manifest.json")
        taken = {name for name, one in facts.items() if one.get("taken over")}
        assert taken >= set(SHARED)
        assert not taken & {"explain", "simulate"}
        assert (folder / "contexts.parquet").samefile(finished.folder / "contexts.parquet")
        assert not (folder / "ledger.sqlite").exists()
        assert not (folder / "usage.parquet").exists()
    texts = [read_table(f / "proposals.parquet")["text"].tolist() for f in _folders(finished)]
    assert texts[0] != texts[1] != texts[2] != texts[0]
    units = [read_table(f / "units.parquet")[["arm", "index"]].drop_duplicates() for f in _folders(finished)]
    assert units[0].equals(units[1])


def _folders(run: Run) -> list[Path]:
    return [run.folder, *(run.folder / "replicates" / number for number in "12")]


@pytest.mark.pipeline
@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_the_replicate_and_stage_that_it_was_in(finished: Run, study: Study) -> None:
    before = _facts(finished.folder.parent / "first.json")
    after = _facts(finished.folder / "replicates" / "1" / "manifest.json")
    assert "explain" in before
    assert "simulate" not in before
    assert {name: after[name] for name in before} == before
    base = _facts(finished.folder.parent / "base.json")
    assert {name: _facts(finished.folder / "manifest.json")[name] for name in base} == base
    written = [(folder / "manifest.json").stat().st_mtime_ns for folder in _folders(finished)]
    autointerp.run(study, finished.folder, until="compare")
    assert [(folder / "manifest.json").stat().st_mtime_ns for folder in _folders(finished)] == written


@pytest.mark.pipeline
@pytest.mark.slow
def test_a_replicate_is_the_run_of_its_own_study(finished: Run, tmp_path: Path) -> None:
    folder = finished.folder / "replicates" / "2"
    alone = autointerp.run(load_study(folder / "study.toml"), tmp_path / "alone", until="score")
    for name in ("documents", "contexts", "units", "evidence"):
        assert (alone.folder / f"{name}.parquet").read_bytes() == (folder / f"{name}.parquet").read_bytes(), name
    assert alone.table("explanations")["text"].equals(read_table(folder / "explanations.parquet")["text"])
    # What the ledger of all replicates holds is not computed again, so a batch holds other rows: the last bits differ.
    ours = read_table(folder / "scores.parquet")["value"].to_numpy()
    assert alone.table("scores")["value"].to_numpy() == pytest.approx(ours, abs=1e-4, nan_ok=True)


@pytest.mark.pipeline
@pytest.mark.slow
def test_the_report_the_figure_and_the_table_are_there(finished: Run) -> None:
    rows = finished.table("variance")
    at = (rows["scorer"] == "lift") & (rows["metric"] == "pearson") & (rows["slice"] == "top-and-random")
    both = rows[at & (rows["arm"] == "feature") & (rows["baseline"] == "neuron")]
    assert both.loc[both["component"] == DRAW, "replicate"].tolist() == [0, 1, 2]
    mean = both[both["component"] == MEAN].iloc[0]
    assert mean["value"] == pytest.approx(both.loc[both["component"] == DRAW, "value"].mean())
    assert mean["low"] < mean["value"] < mean["high"]
    assert ICC in set(rows.loc[at & (rows["arm"] == "neuron"), "component"]), "the same units in all"
    assert "Over 3 replicates, explain drawn anew: SAE features minus neurons" in finished.headline()
    table = rows[(rows["scorer"] == "lookup") & (rows["component"] == MEAN)]
    assert set(table["note"]) == {UNCHANGED}, "it reads no explanation"
    text = (finished.folder / "report.md").read_text("utf8")
    assert "## Variance" in text
    assert "figures/replicates.png" in text
    assert "no score of a unit with that of another" not in text


@pytest.mark.pipeline
@pytest.mark.slow
def test_verify_looks_into_every_replicate(finished: Run, tmp_path: Path) -> None:
    assert all(check.ok for check in verify(finished.folder))
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    for name in ("replicates/2/explanations.parquet", "replicates/1/scores.parquet"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole + b" ")
        wrong = [check.name for check in verify(copy) if not check.ok]
        assert wrong == ([f"hash of {name}"] if "scores" in name else ["replicates/2: hash of explanations.parquet"])
        (copy / name).write_bytes(whole)
    kept = {"scores.parquet", "comparison.parquet"}
    for path in (copy / "replicates" / "1").rglob("*"):
        if path.is_file() and path.name not in kept:
            path.unlink()
    checks = verify(copy)
    assert all(check.ok for check in checks)
    assert ["not kept whole" in c.detail for c in checks if c.name.endswith("is a run of its own")] == [True, False]


@pytest.mark.pipeline
@pytest.mark.slow
def test_another_text_is_another_draw_of_everything(tmp_path: Path) -> None:
    study = small_study(tmp_path, "compare.replicates=2", 'compare.redraw=["corpus"]', *SMALLER)
    run = autointerp.run(study, tmp_path / "run")
    facts = _facts(run.folder / "replicates" / "1" / "manifest.json")
    assert not any(one.get("taken over") for one in facts.values())
    first, second = (read_table(f / "contexts.parquet")["tokens"].map(tuple) for f in _folders(run)[:2])
    assert set(first) != set(second)
    rows = run.table("variance")
    assert ICC not in set(rows.loc[rows["arm"] == "feature", "component"])
    text = (run.folder / "report.md").read_text("utf8")
    assert "no score of a unit with that of another" in text
    assert "2 replicates are few" in text


@pytest.mark.pipeline
@pytest.mark.slow
def test_scrambled_subjects_are_drawn_anew_and_held_over_all_replicates(tmp_path: Path) -> None:
    study = small_study(
        tmp_path, "compare.replicates=3", 'compare.redraw=["sae"]', "scrambled.seeds=[0]", "scrambled.features=4",
        "scrambled.neurons=3", "compare.side_by_side=1", *SMALLER,
    )  # fmt: skip
    run = autointerp.run(study, tmp_path / "run")
    found: dict[str, list[float]] = {"own": [], "scrambled": []}
    for number, folder in enumerate(_folders(run)):
        scores = read_table(folder / "scores.parquet")
        cell = (scores["scorer"] == "lift") & (scores["metric"] == "pearson") & (scores["slice"] == "top-and-random")
        fine = scores[cell & (scores["pairing"] == "own") & (scores["status"] == "ok")]
        assert {s for s in fine["subject"] if s} == {f"permuted-{number}"}
        found["own"].append(float(fine.loc[fine["arm"] == "feature", "value"].mean()))
        arm = scrambled_arm(ScrambledFeatures.name, f"permuted-{number}", "sae", False)
        found["scrambled"].append(float(fine.loc[fine["arm"] == arm, "value"].mean()))
    rows = pd.DataFrame(read_arrow(run.folder / OVER_REPLICATES).to_pylist())
    rows = rows[(rows["scorer"] == "lift") & (rows["metric"] == "pearson") & (rows["slice"] == "top-and-random")]
    (row,) = rows[(rows["measure"] == "features") & (rows["subject"] == "")].to_dict("records")
    slow = scipy.stats.ttest_ind(found["own"], found["scrambled"], equal_var=False)
    assert row["subjects"] == 3
    assert [row["own"], row["scrambled"]] == pytest.approx([np.mean(found["own"]), np.mean(found["scrambled"])])
    assert row["p"] == pytest.approx(slow.pvalue)
    assert [row["low"], row["high"]] == pytest.approx(list(slow.confidence_interval(0.95)))
    report = (run.folder / "report.md").read_text("utf8")
    assert "(permuted, 3 seeds)" in report
    assert "over the means of the replicates" in report
    assert all(check.ok for check in verify(run.folder))


def test_a_replicate_has_scrambled_subjects_that_no_other_one_has() -> None:
    settings = {"scrambled": {"seeds": [0, 2]}, "compare": {"replicates": 4, "redraw": ["sae"]}}
    seeds = [redrawn(parse_study(settings), number).scrambled.seeds for number in (1, 2, 3)]
    assert seeds == [(3, 5), (6, 8), (9, 11)]
    settings["compare"] = {"replicates": 4, "redraw": ["explain"]}
    assert redrawn(parse_study(settings), 1).scrambled.seeds == (0, 2), "nothing of them depends on it"


def test_replicates_share_no_seed_and_leave_the_rest_as_it_is() -> None:
    study = parse_study({"seeds": {"sae": 7}, "compare": {"replicates": 4, "redraw": ["sae", "explain"]}})
    drawn = [study, *(redrawn(study, replicate) for replicate in range(1, 4))]
    seeds = {(factor, one.seed_for(factor)) for one in drawn for factor in study.compare.redraw}
    assert len({seed for _, seed in seeds}) == len(seeds) == 2 * 4
    assert all(one.seed_for(factor) == 0 for one in drawn for factor in FACTORS if factor not in study.compare.redraw)
    assert all(one.compare.replicates == 1 for one in drawn[1:])


def test_a_seed_that_is_the_run_s_own_changes_no_hash(tmp_path: Path) -> None:
    """What old folders were made from still stands; another seed is in the stages that draw from it, and no other."""

    def settings(*overrides: str) -> dict[str, Any]:
        study = small_study(tmp_path, *overrides)
        return {stage.name: stage.settings for stage in stages(study, Resources(study, tmp_path, Mode()), tmp_path)}

    before = settings("judge.methods=['detection']")
    assert before == settings("judge.methods=['detection']", *(f"seeds.{factor}=0" for factor in FACTORS))
    assert "seeds" not in str(before)
    assert set(before["compare"]["compare"]) == {
        "baseline", "replicates", "resamples", "derangements", "confidence", "margin",
    }  # fmt: skip
    touched = {
        "corpus": {"corpus"}, "sae": {"train", "quality"}, "units": {"collect"}, "evidence": {"collect"},
        "explain": {"explain"}, "simulate": {"explain", "simulate", "judge"},
    }  # fmt: skip
    for factor in FACTORS:
        after = settings("judge.methods=['detection']", f"seeds.{factor}=1")
        assert {name for name in before if after[name] != before[name]} == touched[factor]
    more = ("compare.replicates=2", 'compare.redraw=["units"]', "compare.side_by_side=2")
    assert before == settings("judge.methods=['detection']", *more)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"replicates": 2}, "all would be the same"),
        ({"replicates": 2, "redraw": ["units", "units"]}, "twice"),
        ({"replicates": 2, "redraw": ["unit"]}, "unit"),
        ({"replicates": 2, "redraw": ["sae"]}, "changes nothing"),
    ],
)
def test_replicates_that_would_not_differ_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        parse_study({"sae": [{"checkpoint": "somewhere"}], "compare": settings})


def test_several_processes_do_not_carry_out_replicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    study = parse_study({"compare": {"replicates": 2, "redraw": ["units"]}})
    with pytest.raises(BadInput, match=r"compare.replicates = 2, and this run has several processes: .*torchrun"):
        autointerp.run(study, tmp_path / "run")
