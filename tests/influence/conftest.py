from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.llm.open import Mode
from autointerp.run.resources import Resources
from autointerp.run.stages import carry_out
from autointerp.study_file import parse_study
from tests.small import small_settings

HOOK = "layers.0.mlp.neurons"
SECRET = " Zanzibar exports quartz whistles"
"""Stands in one training document alone."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its training: a subject of one layer, and an SAE on its neurons."""
    folder = tmp_path_factory.mktemp("influence")
    settings = small_settings(folder)
    settings["subject"] = {
        "hooks": [HOOK], "batch": 8,
        "train": {"width": 16, "neurons": 24, "heads": 2, "vocabulary": 400, "passes": 6, "batch": 8, "lr": 0.01},
    }  # fmt: skip
    recipe = {"architecture": "standard", "width": 32, "l1": 0.05, "passes": 4, "batch": 128}
    settings["sae"] = [{"hook": HOOK, "train": recipe}]
    _hide(Path(settings["corpus"]["source"]))
    study = parse_study(settings)
    run = folder / "run"
    carry_out(Resources(study, run, Mode()), run, "train")
    return run


def _hide(corpus: Path) -> None:
    """The secret goes into many documents' beginnings: some of them are in the training split."""
    rows = [json.loads(line) for line in corpus.read_text("utf8").splitlines()]
    for number, row in enumerate(rows):
        if number % 40 == 0:
            row["text"] = (SECRET * 3).strip() + ". " + row["text"]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
