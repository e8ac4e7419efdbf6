"""The two commands of docs/neuronpedia.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autointerp.__main__ import main
from autointerp.cli.exchange import from_neuronpedia
from autointerp.exchange.held_apart import SEEN
from tests.exchange.doubles import cut, whole

ROOT = Path(__file__).parents[2]
EXPORT, IMPORT = re.findall(r"```sh\nautointerp (.+)\n```", (ROOT / "docs" / "neuronpedia.md").read_text("utf8"))


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["autointerp", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_goes_out(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "results").mkdir()
    cut(ROOT / "results" / "reference", desk / "results" / "reference", 8)
    assert call(monkeypatch, *EXPORT.split()) == 0
    said = capsys.readouterr().out
    assert "their API takes none" in said
    assert "smollm2-135m/5-sae: 8 units of arm 'feature'" in said
    assert (desk / "results" / "for-neuronpedia" / "README.md").is_file()


@pytest.mark.pipeline
def test_published_explanations_come_here(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole(desk / "downloads" / "6-res-jb", 2)
    small = ["--set", "simulate.method=literal", "--set", "compare.resamples=1000", "--set", "compare.derangements=1"]
    assert call(monkeypatch, *IMPORT.split(), *small, "--tables-only") == 0
    assert "count as seen" in capsys.readouterr().out
    assert call(monkeypatch, *IMPORT.split(), *small) == 0
    assert "SAE features" in capsys.readouterr().out
    run = desk / "results" / "6-res-jb"
    assert all((run / name).is_file() for name in ("scores.parquet", "comparison.parquet", "report.md"))
    assert call(monkeypatch, *IMPORT.split(), "--set", "simulate.method=lookup") == 2
    assert "reads no explanation" in capsys.readouterr().err


def test_what_help_tells_of_seen_contexts_is_the_number_of_the_code() -> None:
    defaults = from_neuronpedia.__defaults__
    assert defaults is not None
    assert defaults[-4] == SEEN
