from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import autointerp
from autointerp.__main__ import main
from autointerp.cli import app
from autointerp.cli.runs import demo_study
from autointerp.study_file import dump_study
from tests.forked import command_line, started
from tests.small import TABLES, small_study

VERBS = """
    demo run train collect explain simulate judge score compare estimate llm browse rate plot report
    power variance verify ledger export import sae attribute benchmark self-explain toy influence
    doctor
""".split()
"""In the order of use."""


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
    assert re.findall(r"^  ([\w-]+) ", shown.partition("Commands:")[2], flags=re.M) == list(VERBS)


def _commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """A command and all below it, each with the words that call it."""
    yield " ".join(path), command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, *path, name)


def _help_texts() -> Iterator[tuple[str, str]]:
    for words, command in _commands(typer.main.get_command(app), "autointerp"):
        yield words, command.help
        yield f"{words} in the list of verbs", command.short_help if words != "autointerp" else "the whole program"
        with command.make_context(words, [], resilient_parsing=True) as context:
            for parameter in command.get_params(context):
                yield f"{words} {parameter.name}", parameter.help


def test_no_line_of_any_help_ends_with_a_dot_however_wide_the_terminal_is() -> None:
    texts = dict(_help_texts())
    assert {"autointerp llm check study", "autointerp ledger prune yes", "autointerp sae eval help"} <= set(texts)
    assert [where for where, text in texts.items() if not text] == []
    assert [where for where, text in texts.items() if re.search(r"\.(\s|$)", text)] == []


def test_the_list_of_verbs_is_not_cut_in_80_columns() -> None:
    for words, text in _help_texts():
        if words.endswith("in the list of verbs"):
            assert len(text) <= 78 - len("  self-explain  "), words


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
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_ends_with_130_and_the_same_command_continues(tmp_path: Path, sent: signal.Signals) -> None:
    study = small_study(tmp_path, "units.controls=[]", "explain.methods=['exemplars']")
    (tmp_path / "study.toml").write_text(dump_study(study))
    process = started(tmp_path, "compare", "study.toml", "--out", "a")
    for line in process.stderr:
        if line.startswith("collect ..."):
            time.sleep(0.1)
            os.kill(process.pid, sent)
            break
    code, _, rest = process.ends()
    assert code == 130, rest
    assert rest.strip().splitlines()[-1] == "autointerp: interrupted; the same command continues where this one stopped"
    code, _, error = command_line(tmp_path, "compare", "study.toml", "--out", "a")
    assert code == 0, error
    autointerp.run(study, tmp_path / "b", until="compare")
    for table in TABLES:
        assert (tmp_path / "a" / f"{table}.parquet").read_bytes() == (tmp_path / "b" / f"{table}.parquet").read_bytes()


def test_a_terminal_that_lacks_a_character_shows_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stderr", shown)
    assert _call(monkeypatch, "plot", "no\u2212such\u65e5\u2019s \xe9") == 2
    shown.seek(0)
    assert "no-such?\u2019s \xe9" in shown.read(), "cp1252 has the apostrophe"


@pytest.mark.pipeline
def test_a_full_disk_is_one_line_and_the_same_command_continues_with_more_room(tmp_path: Path) -> None:
    """A file system of its own, in a namespace of its own, that is too small."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("no namespaces here")
    study = small_study(tmp_path, "units.controls=[]", "explain.methods=['exemplars']")
    (tmp_path / "study.toml").write_text(dump_study(study))
    (tmp_path / "out").mkdir()
    run = f"{sys.executable} -m autointerp compare study.toml --out out/run"
    script = (
        f"mount -t tmpfs -o size=120k tmpfs out && {run}; echo first $?; "
        f"mount -o remount,size=100m out && {run}; echo then $?"
    )
    done = subprocess.run([*unshare, "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "first 2\n" in done.stdout, done.stderr
    assert "then 0\n" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("autointerp:")]
    assert "full" in line
    assert "the same command continues" in line


def test_the_demo_study_asks_for_what_the_readme_says() -> None:
    full, quick = demo_study(), demo_study(quick=True)
    assert full.units.features == full.units.neurons == 32
    assert quick.units.features < full.units.features
    for study in (full, quick):
        assert study.scrambled_subjects, "the headline is held against a subject whose weights say nothing"
    assert full.explain.methods == quick.explain.methods == ("exemplars", "short-snippets")
    assert quick.corpus.tokens < full.corpus.tokens
