"""Ctrl-C: every verb ends at once, with one line and exit code 130."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest

from autointerp.__main__ import main
from autointerp.llm.check import run_aside
from autointerp.study_file import dump_study, parse_study
from tests.llm.doubles import Reply, serve

LINE = "autointerp: interrupted; the same command continues where this one stopped\n"


@pytest.mark.parametrize(
    ("words", "work"),
    [
        (["run", "study.toml"], "autointerp.run.run"),
        (["train", "study.toml"], "autointerp.run.run"),
        (["demo"], "autointerp.run.run"),
        (["estimate", "study.toml"], "autointerp.run.estimating.estimate"),
        (["llm", "check", "explainer"], "autointerp.llm.check.check"),
        (["report", "run"], "autointerp.report.stage.report"),
        (["ledger", "show", "run"], "autointerp.llm.ledger.maintenance.ledger_file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_verb_ends_with_the_same_line(
    words: list[str],
    work: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def stopped(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(dump_study(parse_study({})))
    module, _, name = work.rpartition(".")
    monkeypatch.setattr(import_module(module), name, stopped)
    monkeypatch.setattr("sys.argv", ["autointerp", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == LINE


def test_a_check_of_an_endpoint_that_hangs_ends_at_once(tmp_path: Path) -> None:
    with serve(Reply(hang=True)) as server:
        llm = {"provider": "openai", "model": "m", "base_url": server.url, "timeout": 60.0}
        (tmp_path / "study.toml").write_text(dump_study(parse_study({"llm": {"x": llm}})))
        command = [sys.executable, "-m", "autointerp", "llm", "check", "x", "--study", "study.toml"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            while not server.seen and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            _, written = process.communicate(timeout=30)
        assert process.returncode == 130
        assert time.monotonic() - start < 10
    assert written == LINE


def test_what_is_run_aside_is_cancelled_and_leaves_no_thread() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(20)
            ended.append("in its own time")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    main_thread = threading.main_thread().ident
    assert main_thread is not None
    ctrl_c = threading.Timer(0.3, signal.pthread_kill, (main_thread, signal.SIGINT))
    ctrl_c.start()
    with pytest.raises(KeyboardInterrupt):
        run_aside(work())
    ctrl_c.join()
    assert ended == ["cancelled"]
    assert "autointerp-aside" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--help"], 0), (["llm", "check", "--help"], 0), (["--version"], 0), (["llm", "check"], 2), (["estimate"], 2),
     (["no-such-verb"], 2), (["ledger"], 2)],
)  # fmt: skip
def test_help_and_errors_of_usage_keep_their_codes(
    words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["autointerp", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    shown = capsys.readouterr()
    assert "interrupted" not in shown.err
    assert shown.out + shown.err
