"""The example plug-in, installed as a user would install it, and used by a whole run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from autointerp.study_file import dump_study
from tests.forked import command_line
from tests.small import small_study

ROOT = Path(__file__).parent.parent.parent
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in in it, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder), str(PLUGIN)], check=True
    )
    return folder


@pytest.mark.pipeline
def test_a_run_uses_all_three_methods_of_an_installed_package(tmp_path: Path, installed: Path) -> None:
    study = small_study(
        tmp_path,
        "explain.method=before",
        "simulate.method=named-words",
        "llm.simulator.model=/nowhere",  # it says that it needs no model, so none is opened
        'judge.methods=["one-context"]',
        "judge.examples=4",
        "sae=[]",
        "units.features=0",
        "units.directions=0",
        "units.controls=[]",
        "units.neurons=6",
    )
    (tmp_path / "study.toml").write_text(dump_study(study), encoding="utf8")
    code, _, error = command_line(tmp_path, "run", "study.toml", "--out", "run")
    assert code == 2
    assert "'before'" in error or "'named-words'" in error or "'one-context'" in error
    code, _, error = command_line(tmp_path, "run", "study.toml", "--out", "run", path=str(installed))
    assert code == 0, error
    run = tmp_path / "run"
    explanations = pd.read_parquet(run / "explanations.parquet")
    texts = explanations.loc[explanations["status"] == "ok", "text"]
    assert len(texts) > 3
    assert texts.str.startswith("a token after words such as ").all()
    simulations = pd.read_parquet(run / "simulations.parquet")
    assert "named-words" in set(simulations["simulator"])
    own = simulations[(simulations["simulator"] == "named-words") & (simulations["status"] == "ok")]
    assert {value for row in own["predicted"] for value in row} == {0.0, 9.0}
    judgements = pd.read_parquet(run / "judgements.parquet")
    assert set(judgements["judge"]) == {"one-context"}
    assert (judgements.groupby(["unit", "explanation_of"])["context"].count() <= 4).all()
    scores = pd.read_parquet(run / "scores.parquet")
    assert {"named-words", "one-context"} <= set(scores["scorer"])
