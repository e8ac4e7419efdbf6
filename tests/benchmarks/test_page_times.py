"""The benchmark of the pages runs, and counts what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.chromium import chromium

ROOT = Path(__file__).parents[2]


def test_it_measures_every_filter_on_as_many_units_as_asked_for(tmp_path: Path) -> None:
    with chromium():  # skipped where there is none
        pass
    command = [sys.executable, "benchmarks/pages.py", "--units", "60", "--json", str(tmp_path / "found.json")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text("utf8"))["60"]
    assert all(value >= 0 for value in found.values())
    assert found["first view"] > 0
    assert 100 < found["nodes"] < 600
    assert len(found) == 11
