"""The notebooks, executed by a kernel of their own, as they stand but for the size of their studies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

_EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(open(sys.argv[1], encoding="utf8"), as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
EXAMPLES = Path(__file__).parents[2] / "examples"


def _executed(name: str, folder: Path, smaller: dict[str, str]) -> list[Any]:
    """The cells of code, with their outputs. `smaller`: what stands in the first cell, and what makes it small."""
    notebook = nbformat.read(str(EXAMPLES / name), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    study = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for written, small in smaller.items():
        assert study.source.count(written) == 1, written
        study.source = study.source.replace(written, small)
    given, made = folder / f"given-{name}", folder / name
    nbformat.write(notebook, str(given))
    command = [sys.executable, "-c", _EXECUTE, str(given), str(made)]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES, env=environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [cell for cell in nbformat.read(str(made), as_version=4).cells if cell.cell_type == "code"]


def _printed(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.pipeline
@pytest.mark.offline_model
def test_the_tour_goes_from_a_study_to_a_figure(tmp_path: Path) -> None:
    code = _executed("tour.ipynb", tmp_path, {"24_000": "12_000", '"width": 768': '"width": 128'})
    assert len(code) == 5
    assert "SAE features score" in _printed(code[0])
    unit = code[2].outputs[0].data["text/html"]
    for words in ("others' explanations (its null)", "read literally, no model", "Held out, top", "predicted"):
        assert words in unit
    assert len(code[4].outputs[0].data["image/png"]) > 5000


@pytest.mark.pipeline
def test_one_output_is_followed_from_tokens_to_features_to_training_text(tmp_path: Path) -> None:
    code = _executed("why.ipynb", tmp_path, {"180_000": "50_000", '"width": 512': '"width": 128'})
    assert "SAE features score" in _printed(code[0])
    assert _printed(code[1]).count("->") == 4
    assert len(code[2].outputs[0].data["image/png"]) > 5000
    trust = code[3].outputs[0].data["text/html"]
    assert all(name in trust for name in ("occlusion", "recency", "random"))
    assert "convergence delta" in _printed(code[4])
    for cell in code[5:]:
        assert "null     19 null queries" in _printed(cell)
        assert "beside   bm25" in _printed(cell)
    assert "feature/" in _printed(code[6])
