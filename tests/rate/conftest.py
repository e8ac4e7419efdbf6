from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autointerp.tables import write_table
from tests.fake_run import HOSTILE, Plan, finished

QUALITY = {"feature": 0.9, "neuron": 0.5, "direction": 0.1}
PLAN = Plan(QUALITY, units=9, evidence_top=8, contexts=120, unexplained=("neuron/1+",))


def with_effects(folder: Path, silent: str = "direction/2") -> Path:
    """The run with what its units promote, hostile tokens among it, of all but one."""
    rows = [
        {"unit": f"{arm}/{i}{'' if not arm.startswith('neuron') else '-' if i % 3 == 0 else '+'}",
         "promoted": [f" tok{i}", *HOSTILE[:9]], "suppressed": [], "status": "ok", "reason": ""}
        for arm in QUALITY for i in range(9)
    ]  # fmt: skip
    for row in rows:
        if row["unit"] == silent:
            row.update(status="unscored", reason="no output direction", promoted=[])
    write_table("effects", folder / "work" / "effects.parquet", rows)
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with what its units promote; not to be written to."""
    return with_effects(finished(tmp_path_factory.mktemp("whole"), PLAN))


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    return folder
