"""The notebook, executed as it stands, by a kernel of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

_EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(open(sys.argv[1], encoding="utf8"), as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
TOUR = Path(__file__).parents[2] / "examples" / "tour.ipynb"


@pytest.mark.pipeline
@pytest.mark.offline_model
def test_the_tour_goes_from_a_study_to_a_figure(tmp_path: Path) -> None:
    notebook = nbformat.read(str(TOUR), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    made = tmp_path / "tour.ipynb"
    command = [sys.executable, "-c", _EXECUTE, str(TOUR), str(made)]
    environment = {**os.environ, "PYTHONPATH": str(TOUR.parents[1])}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=TOUR.parent, env=environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    executed = nbformat.read(str(made), as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert len(code) == 5
    assert "SAE features score" in "".join(output.get("text", "") for output in code[0].outputs)
    unit = code[2].outputs[0].data["text/html"]
    for words in ("others' explanations (its null)", "read literally, no model", "Held out, top", "predicted"):
        assert words in unit
    assert len(code[4].outputs[0].data["image/png"]) > 5000
