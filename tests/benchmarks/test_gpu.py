"""The benchmark of a GPU, where there may be none: how it counts and compares, and what it says without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.collect.token_table import TokenTable, write_token_tables
from autointerp.records import Exemplar, Unit
from autointerp.tables import CANDIDATES, EVIDENCE, HELD_OUT, write_table
from tests.benchmarks.conftest import BENCHMARKS


def _run(folder: Path, values: list[float], context: int = 3) -> Path:
    """What was collected of one unit: a context in either split, and a token table of two tokens."""
    activations = np.array(values, dtype=np.float32)
    (folder / "work").mkdir(parents=True)
    unit = Unit("feature/1", 0, "feature", "layers.1.resid", "sae", 1, 1, 0.0, 0.1, float(activations.max()), 0.5)
    write_table("units", folder / CANDIDATES, [unit])
    for name in (EVIDENCE, HELD_OUT):
        write_table("evidence", folder / name, [Exemplar("feature/1", 0, context, "top", 1.0, activations)])
    table = TokenTable(np.array([5, 6]), activations[:2, None], activations.mean(keepdims=True))
    write_token_tables(folder / "work" / "token_tables.safetensors", {"feature": table})
    return folder


@pytest.mark.parametrize(
    ("values", "context", "fine"),
    [
        ([1.0, 2.0, 4.0], 3, True),
        ([1.0, 2.001, 4.002], 3, True),  # within a thousandth of the largest
        ([1.0, 2.1, 4.0], 3, False),
        ([1.0, 2.0, 4.0], 4, False),
    ],
)
def test_what_was_collected_is_compared_within_its_tolerance(
    values: list[float], context: int, fine: bool, tmp_path: Path
) -> None:
    from on_gpu import collecting
    from on_gpu.sheet import Sheet

    sheet = Sheet()
    collecting._compare(sheet, _run(tmp_path / "a", [1.0, 2.0, 4.0]), _run(tmp_path / "b", values, context))
    assert sheet.fine == fine, sheet.table()


def test_a_ratio_is_the_median_over_the_rounds_and_what_was_not_run_proves_nothing() -> None:
    from on_gpu.sheet import Line, Sheet, times

    assert times([4.0, 9.0, 8.0], [2.0, 1.0, 2.0]) == "4.0x (2.0 to 9.0)"
    sheet = Sheet([Line("a", "1x", 3), Line("b", "fine", 1, True)])
    assert sheet.fine
    assert [line.split() for line in sheet.table().splitlines()[1:]] == [["a", "1x", "3"], ["b", "fine", "1", "holds"]]
    assert not Sheet([*sheet.lines, Line("c", "far", 1, False)]).fine


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_or_a_folder_the_script_says_so_in_one_line(tmp_path: Path) -> None:
    script = str(BENCHMARKS / "gpu.sh")
    for arguments, said in (([], "no output folder"), ([str(tmp_path)], "has no torch that finds a CUDA GPU")):
        done = subprocess.run(
            ["bash", script, *arguments], capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable}
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
