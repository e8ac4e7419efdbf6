"""The same model, the same definition, the same numbers: captum, inseq and interpreto.

Each is in an environment of its own, in a folder that the variable AUTOINTERP_RIVALS names.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from autointerp.attribution.gradients import baseline, equal_steps, gradient_times_input
from autointerp.attribution.passages import passage_of
from autointerp.attribution.removal import occluded
from autointerp.attribution.targets import Outputs, embeddings_of
from autointerp.models import LoadedModel
from tests.tiny import tiny_model, tiny_tokenizer

HOW = {
    "captum": "pip install torch==2.13.0 transformers captum==0.9.0",
    "inseq": "pip install torch==2.13.0 inseq==0.7.1",
    "interpreto": "pip install torch==2.13.0 interpreto==0.5.2",
}
PROMPT, OUTPUT, STEPS = "A river runs", " to the sea", 12
THEIR_MASK = 373
"""The id that interpreto adds to the tiny tokenizer; the model has just one row more, so that it resizes nothing."""


def theirs(library: str, folder: Path) -> np.ndarray:
    """(position, target) with 0 where it gives nothing."""
    root = os.environ.get("AUTOINTERP_RIVALS")
    python = Path(root or "") / library / "bin" / "python"
    if root is None or not python.exists():
        pytest.skip(f"AUTOINTERP_RIVALS names no folder with an environment {library}/: {HOW[library]}")
    script = Path(__file__).parent / "fixtures" / "rival.py"
    command = [str(python), str(script), library, str(folder), PROMPT, OUTPUT, str(STEPS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows: list[list[Any]] = json.loads(done.stdout)
    wide = max(len(row) for row in rows)
    return np.array([[0.0 if v is None else v for v in [*row, *[None] * (wide - len(row))]] for row in rows]).T


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outputs, Path]:
    """Nothing of the passage is fixed: the other libraries take the start token away as well."""
    folder = tmp_path_factory.mktemp("tiny")
    model, tokenizer = tiny_model("gpt2"), tiny_tokenizer()
    model.resize_token_embeddings(THEIR_MASK + 1)
    model.requires_grad_(False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = LoadedModel(model, tokenizer, "tiny", torch.device("cpu"))
    whole = passage_of(loaded, PROMPT, output=OUTPUT, chat="no")
    ids = whole.ids[1:]  # without the start token that we put there
    return Outputs(loaded, replace(whole, ids=ids, prompt=whole.prompt - 1, pieces=whole.pieces[1:], fixed=0)), folder


@pytest.mark.slow
def test_captum_finds_the_same_integrated_gradients(outputs: tuple[Outputs, Path]) -> None:
    ours, folder = outputs
    found = equal_steps(ours, baseline(ours, "end"), STEPS).signed()
    expected = theirs("captum", folder)
    assert np.abs(expected).max() > 0.1
    assert_allclose(found[: len(expected)], expected, atol=1e-4)


@pytest.mark.slow
def test_inseq_finds_the_same_gradients_times_input(outputs: tuple[Outputs, Path]) -> None:
    """Theirs are of the probability: ours, of its logarithm, times it."""
    ours, folder = outputs
    expected = theirs("inseq", folder)
    rows = len(ours.passage.ids) - 1
    assert np.abs(expected).max() > 1e-4
    found = gradient_times_input(ours) * ours.scores.double().exp().numpy()
    assert_allclose(found, expected[:rows], atol=1e-6)


@pytest.mark.slow
def test_interpreto_finds_the_same_occlusion(outputs: tuple[Outputs, Path]) -> None:
    ours, folder = outputs
    expected = theirs("interpreto", folder)
    base = embeddings_of(ours.loaded)[THEIR_MASK].expand_as(ours.tensor)
    found = occluded(ours, base)
    assert np.abs(expected).max() > 0.1
    assert_allclose(found, expected[: len(found)], atol=1e-4)
