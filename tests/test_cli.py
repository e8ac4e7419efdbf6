from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import autointerp
from autointerp.__main__ import main
from autointerp.cli.runs import demo_study
from autointerp.study_file import dump_study
from tests.small import TABLES, small_study


def _call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['autointerp', '--help']\n"
        "from autointerp.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'scipy', 'openai', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for verb in (
        "demo",
        "run",
        "train",
        "collect",
        "explain",
        "simulate",
        "score",
        "compare",
        "plot",
        "report",
        "verify",
        "benchmark",
    ):
        assert f"  {verb} " in shown


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "none.toml"], "no study file none.toml"),
        (["plot", "nowhere"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["verify", "nowhere"], "nowhere is not a run folder"),
        (["demo", "--set", "corpus.tokns=1"], "did you mean 'tokens'"),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_2(
    words: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _call(monkeypatch, *words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert line in shown.err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _call(monkeypatch, "demo", "--fast") == 2


def test_a_folder_that_cant_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "study.toml").write_text(dump_study(small_study(tmp_path)))
    assert _call(monkeypatch, "run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "file" / "run")) == 2
    assert "can't write in" in capsys.readouterr().err


@pytest.mark.pipeline
def test_verify_fails_with_exit_1_and_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = small_study(tmp_path, "sae=[]", "units.features=0", "units.controls=[]")
    (tmp_path / "study.toml").write_text(dump_study(study))
    out = tmp_path / "run"
    assert _call(monkeypatch, "run", str(tmp_path / "study.toml"), "--out", str(out)) == 0
    assert "report" in capsys.readouterr().out
    assert _call(monkeypatch, "verify", str(out)) == 0
    assert "all " in capsys.readouterr().out
    (out / "units.parquet").unlink()
    assert _call(monkeypatch, "verify", str(out)) == 1
    assert "hash of units.parquet" in capsys.readouterr().err


@pytest.mark.pipeline
def test_a_real_ctrl_c_ends_with_130_and_the_same_command_continues(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(dump_study(small_study(tmp_path)))
    command = [sys.executable, "-m", "autointerp", "compare", str(tmp_path / "study.toml"), "--out"]
    with subprocess.Popen([*command, str(tmp_path / "a")], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("collect ..."):
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait() == 130
    assert rest.strip().splitlines()[-1] == "autointerp: interrupted; the same command continues where this one stopped"
    subprocess.run([*command, str(tmp_path / "a")], check=True, capture_output=True)
    autointerp.run(small_study(tmp_path), tmp_path / "b", until="compare")
    for table in TABLES:
        assert (tmp_path / "a" / f"{table}.parquet").read_bytes() == (tmp_path / "b" / f"{table}.parquet").read_bytes()


def test_the_demo_study_asks_for_what_the_readme_says() -> None:
    full, quick = demo_study(), demo_study(quick=True)
    assert full.units.features >= 64
    assert full.units.neurons >= 64
    assert full.units.directions >= 64
    assert "phrase" in full.explain.methods
    assert "phrase" in quick.explain.methods
    assert quick.corpus.tokens < full.corpus.tokens
