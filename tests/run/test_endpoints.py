"""Whole runs against a real server on loopback: faults, budgets, replays, deaths, secrets."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import autointerp
from autointerp.__main__ import main
from autointerp.errors import BadInput, BudgetReached
from autointerp.llm import check
from autointerp.llm.budget.prices import NANO
from autointerp.llm.capabilities import Capabilities, remember
from autointerp.llm.ledger.maintenance import export_lines
from autointerp.run.folder import Run
from autointerp.run.verify import verify
from autointerp.study import Study
from autointerp.study_file import dump_study, parse_study
from autointerp.study_models import Llm
from tests.llm.misbehaving import CONTENT, HARMLESS, TRANSPORT, Endpoint, running
from tests.run.served import brain, served_settings
from tests.small import TABLES

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

SERVED = tuple({*TABLES, "judgements"} - {"comparison", "covariates", "adjusted"})
"""The tables up to the scores: what is made of those asks nobody."""


def _bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.parquet").read_bytes() for name in SERVED}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What probes find is remembered in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running(Endpoint(brain)) as server:
        yield server


@pytest.fixture(scope="module")
def study(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return parse_study(served_settings(tmp_path_factory.mktemp("input"), endpoint.url, reasks=6, attempts=12))


@pytest.fixture(scope="module")
def collected(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as far as it asks nobody: text, SAEs, units and their contexts."""
    return autointerp.run(study, tmp_path_factory.mktemp("out") / "run", until="collect").folder


@pytest.fixture
def out(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "run")


@pytest.fixture(scope="module")
def finished(study: Study, collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return autointerp.run(study, shutil.copytree(collected, tmp_path_factory.mktemp("finished") / "run"))


def _moved(study: Study, url: str, **more: object) -> Study:
    """The study with its models behind another address: the same requests, another endpoint."""
    llm = {name: one.model_copy(update={"base_url": url, **more}) for name, one in study.llm.items()}
    return study.model_copy(update={"llm": llm})


def test_a_run_explains_simulates_and_judges_through_an_endpoint(finished: Run) -> None:
    scores = finished.table("scores")
    assert set(scores["scorer"]) == {"sparse-json", "lookup", "detection"}
    own = scores[(scores["pairing"] == "own") & (scores["scorer"] == "sparse-json")]
    assert (own["status"] == "ok").mean() > 0.8
    assert all(check.ok for check in verify(finished.folder))
    usage = finished.table("usage").set_index("stage")
    assert set(usage.index) == {"check", "explain", "simulate", "judge"}
    assert usage["cost_usd"].isna().all(), "no price in the study, and none is made up"
    assert (usage["uncertain"] == 0).all()
    assert "words such as" in " ".join(finished.table("explanations")["text"])


def test_under_thirty_percent_faults_the_tables_are_the_same(
    study: Study, finished: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autointerp.llm.online.retrying._BACK_OFF", lambda state: 0.01)  # most of the time was waiting
    kinds = {**dict.fromkeys(TRANSPORT, 0.021), **dict.fromkeys((*CONTENT, *HARMLESS), 0.01), "hang": 0.004}
    assert 0.29 < sum(kinds.values()) < 0.32
    with running(Endpoint(brain, kinds)) as broken:
        run = autointerp.run(_moved(study, broken.url, timeout=1.0), out, until="score")
        assert set(broken.met) == set(kinds), "every kind of fault was met"
        assert broken.asked.total() > 500
    assert {n for n, b in _bytes(run.folder).items() if b != _bytes(finished.folder)[n]} <= {"explanations"}
    # The table of explanations names requests, and a request is to an endpoint: all else in it is the same.
    ours, theirs = (r.table("explanations").drop(columns="request") for r in (run, finished))
    assert ours.equals(theirs)
    usage = run.table("usage").set_index("stage").drop("check")
    assert (usage["attempts"] > usage["requests"] - usage["cached"]).all()
    assert usage["uncertain"].sum() > 0, "a reset or a hang may have been billed"


def test_ranking_may_stay_in_the_process_while_the_endpoint_simulates(study: Study, out: Path) -> None:
    asked: dict[str, int] = {}
    for method in ("", "literal"):
        with running(Endpoint(brain)) as server:
            moved = _moved(study, server.url)
            explain = moved.explain.model_copy(update={"ranked_by": method})
            folder = shutil.copytree(out, out.parent / f"ranked-{method}")
            run = autointerp.run(moved.model_copy(update={"explain": explain}), folder, until="score")
        usage = run.table("usage").set_index("stage")["requests"]
        asked[method] = int(usage["explain"])
        assert usage["simulate"] > 100
        assert set(run.table("scores")["scorer"]) == {"sparse-json", "lookup", "detection"}
    assert 0 < asked["literal"] < asked[""] / 2
    text = dump_study(study.model_copy(update={"explain": study.explain.model_copy(update={"ranked_by": "literl"})}))
    with pytest.raises(BadInput, match="did you mean 'literal'"):
        autointerp.run(parse_study(tomllib.loads(text)), out.parent / "unknown")


def test_what_stays_unreadable_is_unscored_with_its_reason(study: Study, out: Path) -> None:
    def garbled(body: dict[str, object]) -> str:
        text = brain(body)
        return text.replace(":", "=") if text.startswith('{"') and "answers" not in text else text

    with running(Endpoint(garbled)) as server:
        run = autointerp.run(_moved(study, server.url, reasks=1), out, until="score")
        asked = server.asked
    scores = run.table("scores")
    lost = scores[(scores["scorer"] == "sparse-json") & (scores["pairing"] == "own")]
    assert (lost["status"] == "unscored").all()
    assert lost["value"].isna().all()
    assert set(lost["reason"]) == {"no explanation: no candidate could be ranked: malformed JSON in the answer"}
    assert asked.total() == len(asked), "a re-ask is another draw, never the same request"


def test_a_finished_run_replays_with_no_provider_and_no_key(
    study: Study, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    before, asked = _bytes(finished.folder), endpoint.asked.total()
    keyed = _moved(study, endpoint.url, api_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "empty cache"))
    again = autointerp.run(keyed, finished.folder, until="score", replay=True)
    assert _bytes(again.folder) == before
    fresh = autointerp.run(
        keyed, tmp_path / "fresh", until="score", replay=True, ledger=finished.folder / "ledger.sqlite"
    )
    assert _bytes(fresh.folder) == before
    assert endpoint.asked.total() == asked
    other = keyed.model_copy(update={"judge": keyed.judge.model_copy(update={"examples": 4})})
    with pytest.raises(BadInput, match=r"the ledger holds no answer to request [0-9a-f]{12} to model 'm'"):
        autointerp.run(other, finished.folder, until="score", replay=True)
    autointerp.run(study, finished.folder, until="score")
    assert _bytes(finished.folder) == before


def test_a_limit_stops_the_run_and_raising_it_continues(study: Study, finished: Run, out: Path) -> None:
    priced = {"input_usd": 1.0, "output_usd": 5.0}
    with running(Endpoint(brain)) as server:
        known = finished.table("usage")
        whole = (known["input_tokens"].sum() * 1.0 + known["output_tokens"].sum() * 5.0) / 1e6
        limits = (round(whole * 0.1, 6), round(whole * 0.5, 6), round(whole * 0.9, 6), 10 * whole)
        for limit in limits:
            study_now = _moved(study, server.url, **priced)
            study_now = study_now.model_copy(update={"budget": study.budget.model_copy(update={"limit_usd": limit})})
            if limit == limits[-1]:
                autointerp.run(study_now, out, until="score")
            else:
                with pytest.raises(BudgetReached, match=f"limit_usd = {limit} "):
                    autointerp.run(study_now, out, until="score")
            with sqlite3.connect(out / "spending.sqlite") as base:
                assert base.execute("SELECT nano FROM account").fetchone()[0] <= limit * NANO
        assert server.asked.total() == len(server.asked), "nothing was asked twice"
    ours, theirs = (Run(f, study).table("scores") for f in (out, finished.folder))
    assert ours.equals(theirs)
    usage = Run(out, study).table("usage")
    assert usage["cost_usd"].sum() == pytest.approx(
        (usage["input_tokens"].sum() * 1.0 + usage["output_tokens"].sum() * 5.0) / 1e6
    )


def test_the_command_line_stops_with_exit_code_3(
    study: Study, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(dump_study(study))
    monkeypatch.setattr(
        "sys.argv",
        ["autointerp", "explain", str(tmp_path / "study.toml"), "--out", str(out), "--set", "budget.limit_tokens=9000"],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("autointerp: stopped by budget.limit_tokens = 9,000 (")
    assert error.endswith("everything finished is kept; raise the limit to continue")
    assert (out / "usage.parquet").is_file()


def test_a_simulator_that_needs_more_stops_before_the_first_call(study: Study, tmp_path: Path) -> None:
    with running(Endpoint(brain)) as server:
        moved = _moved(study, server.url)
        remember(Capabilities(f"openai {server.url}", "m"))
        for method in ("digits-output", "digits", "lift"):
            wanted = moved.model_copy(update={"simulate": moved.simulate.model_copy(update={"method": method})})
            with pytest.raises(BadInput, match=f"simulator '{method}' needs .*set simulate.method to 'sparse-json'"):
                autointerp.run(wanted, tmp_path / "run")
        assert not server.asked
        assert not (tmp_path / "run" / "study.toml").exists()


def test_an_unknown_endpoint_is_probed_once_and_remembered(
    study: Study, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes: list[str] = []
    look = check.check

    def counted(llm: Llm, name: str, attempts: int) -> check.Checked:
        probes.append(name)
        return look(llm, name, attempts)

    monkeypatch.setattr(importlib.import_module("autointerp.run.checks"), "check", counted)
    with running(Endpoint(brain)) as server:
        moved = _moved(study, server.url)
        wanted = moved.model_copy(update={"simulate": moved.simulate.model_copy(update={"method": "digits-output"})})
        run = autointerp.run(wanted, out, until="score")
        autointerp.run(wanted, out, until="score")
    assert len(probes) == 1
    own = run.table("simulations")
    predicted = own[(own["simulator"] == "digits-output") & (own["status"] == "ok")]["predicted"]
    assert len(predicted)
    assert any(value % 1 for row in predicted for value in row), "expected values, and not digits"


KEY = "sk-very-secret-0123456789"
# The command line, twice in one process: asyncio's and Python's own warnings take their time to switch on.
_BOTH = """
import sys
from autointerp.__main__ import main
names, codes = sys.argv[1:], []
for name in names:
    sys.argv = ["autointerp", "run", f"{name}.toml", "--out", f"out-{name}"]
    try:
        main()
    except SystemExit as ended:
        codes.append(ended.code)
print(*codes)
"""


def test_the_key_is_nowhere(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a passing run and a failing run leave behind, and print, is searched for the key."""
    few = study.units.model_copy(update={"features": 2, "neurons": 2, "directions": 0, "controls": ()})
    study = study.model_copy(update={"units": few})
    with running(Endpoint(brain)) as good:
        moved = _moved(study, good.url, api_key_env="SECRET_KEY")
        (tmp_path / "good.toml").write_text(dump_study(moved))
        closed = _moved(study, good.url.replace("/v1", "/nowhere"), api_key_env="SECRET_KEY")
        (tmp_path / "bad.toml").write_text(dump_study(closed))
        command = [sys.executable, "-X", "dev", "-c", _BOTH, "good", "bad"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "SECRET_KEY": KEY, "AUTOINTERP_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "0 2", done.stderr
        assert good.keys == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" for path in files)
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


def test_what_was_known_when_it_was_asked_counts_for_later_calls(study: Study, out: Path) -> None:
    """A probe that finds something else in between changes no request: nothing is paid twice, a replay still works."""
    with running(Endpoint(brain)) as server:
        moved = _moved(study, server.url)
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=5))
        run = autointerp.run(moved, out, until="score")
        before, asked = _bytes(run.folder), server.asked.total()
        remember(Capabilities(f"openai {server.url}", "m", top_logprobs=0))
        autointerp.run(moved, out, until="score")
        autointerp.run(moved, out, until="score", replay=True)
        assert _bytes(run.folder) == before
        assert server.asked.total() == asked


def test_pruned_answers_are_asked_again(study: Study, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Endpoint(brain)) as server:
        moved = _moved(study, server.url)
        autointerp.run(moved, out, until="score")
        before, asked = _bytes(out), server.asked.total()
        monkeypatch.setattr("sys.argv", ["autointerp", "ledger", "prune", str(out), "--all", "--yes"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        autointerp.run(moved, out, until="score")
        assert server.asked.total() >= 2 * asked - 5
        assert _bytes(out) == before


def test_ledger_lines_hold_what_was_asked(finished: Run) -> None:
    rows = [json.loads(line) for line in export_lines(finished.folder / "ledger.sqlite")]
    assert len(rows) > 500
    assert {row["endpoint"].split()[0] for row in rows} == {"openai"}
    assert all(row["request"]["messages"] and row["text"] for row in rows)
