"""Replicates in processes of their own: how many at a time, the same tables, one account, and Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

import autointerp
from autointerp.errors import BudgetReached
from autointerp.llm.open import Mode
from autointerp.run import replicates
from autointerp.run.manifest import StageEntry, read_manifest, write_manifest
from autointerp.run.resources import Resources
from autointerp.run.verify import verify
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import read_table
from tests.forked import started
from tests.llm.misbehaving import Endpoint, running
from tests.run.served import brain, served_settings
from tests.small import TABLES, small_study

SMALLER = ("units.controls=[]", "sae.0.train.passes=1")


@pytest.mark.pipeline
@pytest.mark.slow
def test_in_a_process_of_its_own_a_replicate_comes_out_the_same(tmp_path: Path) -> None:
    """To the last bit, with as many threads; from another ledger, and replayed from that, too."""
    wanted = ("compare.replicates=3", 'compare.redraw=["sae", "explain"]', "threads=1", *SMALLER)
    before = torch.get_num_threads()
    folders = [tmp_path / name for name in ("beside", "after")]
    answers = tmp_path / "answers.sqlite"
    try:
        for at_once, folder, ledger in zip((2, 1), folders, (answers, None), strict=True):
            study = small_study(tmp_path, *wanted, f"compare.side_by_side={at_once}")
            autointerp.run(study, folder, until="compare", ledger=ledger)
        study = small_study(tmp_path, *wanted, "compare.side_by_side=2")
        autointerp.run(study, folders[0], until="compare", ledger=answers, replay=True)
    finally:
        torch.set_num_threads(before)
    for number in "12":
        beside, after = (folder / "replicates" / number for folder in folders)
        for name in TABLES:
            assert (beside / f"{name}.parquet").read_bytes() == (after / f"{name}.parquet").read_bytes(), name
        assert (beside / "study.toml").read_bytes() == (after / "study.toml").read_bytes()
        assert {one.facts["threads"] for one in read_manifest(beside).values()} == {1}
        explained = read_manifest(beside)["explain"].facts, read_manifest(after)["explain"].facts
        assert explained[0]["finished"] > explained[1]["finished"], "it was replayed"
    spent, once = (read_table(folder / "usage.parquet").set_index("stage")["requests"] for folder in folders)
    assert spent["explain"] == 2 * once["explain"], "one account, whoever asks"
    assert not list(folders[0].rglob("ledger.sqlite"))


def test_as_many_run_at_a_time_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitting(*overrides: str, device: str = "cpu", replay: bool = False) -> int:
        resources = Resources(small_study(tmp_path, *overrides), tmp_path, Mode(replay))
        monkeypatch.setattr(Resources, "check_subject", lambda _: torch.device(device))
        return replicates._fitting(resources, tmp_path)

    def recorded(*resident: int | None) -> None:
        facts = [{} if each is None else {"resident": each} for each in resident]
        write_manifest(tmp_path, {str(n): StageEntry("", {}, (), each) for n, each in enumerate(facts)})

    monkeypatch.setattr(replicates, "available", lambda: 1000)
    monkeypatch.setattr(replicates, "cores", lambda: 8)
    recorded(100, 300)
    assert fitting() == 3, "by memory"
    recorded(100, 50)
    assert fitting() == 8, "by cores"
    recorded(2000)
    assert fitting() <= 1
    recorded(100, None)
    assert fitting() == 1, "a stage of before, which recorded no memory"
    recorded(100)
    served = ("llm.explainer.provider='openai'", "llm.explainer.base_url='http://127.0.0.1:9/v1'")
    assert (fitting(*served), fitting(*served, replay=True)) == (1, 8)
    assert fitting(device="cuda") == 1
    assert fitting("compare.side_by_side=5", *served, device="cuda") == 5, "as the study says"
    monkeypatch.setattr(replicates, "available", lambda: None)
    assert fitting() == 1


def test_a_replicate_holds_batches_of_its_own(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    resources = Resources(study, tmp_path, Mode(batches=tmp_path / "batches.sqlite"))
    assert resources.of_replicate(study, tmp_path / "one").mode.batches == tmp_path / "one" / "batches.sqlite"


@pytest.mark.pipeline
@pytest.mark.slow
def test_one_limit_holds_for_all_of_them_and_raising_it_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    with running(Endpoint(brain)) as server:
        settings = served_settings(tmp_path, server.url, concurrency=4)
        autointerp.run(parse_study(settings, SMALLER), folder, until="compare")
        spent = int(read_table(folder / "usage.parquet")[["input_tokens", "output_tokens"]].to_numpy().sum())
        more = (*SMALLER, "compare.replicates=3", 'compare.redraw=["evidence"]', "compare.side_by_side=2")
        limit = spent + spent // 2
        with pytest.raises(BudgetReached, match=f"limit_tokens = {limit:,} "):
            autointerp.run(parse_study(settings, (*more, f"budget.limit_tokens={limit}")), folder, until="compare")
        usage = read_table(folder / "usage.parquet")
        assert spent < usage[["input_tokens", "output_tokens"]].to_numpy().sum() <= limit
        autointerp.run(parse_study(settings, more), folder, until="compare")
        usage = read_table(folder / "usage.parquet")
        assert usage.loc[usage["stage"] != "check", "attempts"].sum() + 2 >= server.asked.total()
    assert all(check.ok for check in verify(folder))
    assert not list(folder.glob("replicates/*/*.sqlite"))


@pytest.mark.pipeline
@pytest.mark.slow
def test_ctrl_c_stops_all_of_them_and_the_same_command_continues(tmp_path: Path) -> None:
    study = small_study(
        tmp_path, "compare.replicates=3", 'compare.redraw=["explain"]', "compare.side_by_side=2", *SMALLER
    )
    (tmp_path / "study.toml").write_text(dump_study(study))
    run = started(tmp_path, "compare", "study.toml", "--out", "run")
    while "replicate 2: explain ..." not in run.stderr.readline():
        assert not (tmp_path / "run" / "variance.parquet").exists()
    os.kill(run.pid, signal.SIGINT)  # its own processes are told by it
    code, _, said = run.ends()
    assert (code, said.splitlines()[-1]) == (
        130, "autointerp: interrupted; the same command continues where this one stopped",
    )  # fmt: skip
    before = read_manifest(tmp_path / "run" / "replicates" / "1")
    assert not (tmp_path / "run" / "variance.parquet").exists()
    code, _, said = started(tmp_path, "compare", "study.toml", "--out", "run").ends()
    assert code == 0, said
    after = read_manifest(tmp_path / "run" / "replicates" / "1")
    assert before.items() <= after.items()
    assert all(check.ok for check in verify(tmp_path / "run"))
