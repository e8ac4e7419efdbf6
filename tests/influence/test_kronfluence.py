"""The same model, text and damping in kronfluence: the same influences.

In an environment of its own, in a folder that the variable AUTOINTERP_RIVALS names; without torchvision, beside which
transformers' models don't open here:

    python -m venv RIVALS/kronfluence && RIVALS/kronfluence/bin/pip install torch==2.13.0 transformers datasets \
accelerate einops opt_einsum && RIVALS/kronfluence/bin/pip install --no-deps kronfluence==1.0.1 einconv
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.artifacts import rng_of
from autointerp.influence.ekfac import DAMPING, fit_curvature, solve
from autointerp.influence.linear_layers import linear_layers, token_losses
from autointerp.influence.training_scores import query_gradients, score_all
from autointerp.study_inputs import SubjectTraining
from autointerp.subject.making import START, Making, blank_model

SCRIPT = Path(__file__).parent / "fixtures" / "kronfluence_scores.py"
PROMPT = 6


@pytest.mark.slow
def test_influences_are_those_of_kronfluence(tmp_path: Path) -> None:
    root = os.environ.get("AUTOINTERP_RIVALS")
    if root is None or not (Path(root) / "kronfluence").is_dir():
        pytest.skip("AUTOINTERP_RIVALS names no folder with an environment kronfluence/: see above how to make it")
    recipe = SubjectTraining(layers=2, width=16, neurons=24, heads=2, vocabulary=300, passes=8, batch=8, lr=0.01)
    train = rng_of(0, "text").zipf(1.6, size=(96, 12)).clip(1, 299)
    making = Making(blank_model(recipe, 300, 12, seed=0), recipe, train, seed=0)
    while len(making.losses) < making.steps:
        making.step()
    model = making.model.eval()
    model.save_pretrained(tmp_path / "model")
    queries = train[:10][:, ::-1].copy()
    rows = {"train": torch.as_tensor(train), "queries": torch.as_tensor(queries), "prompt": torch.tensor(PROMPT)}
    save_file(rows, tmp_path / "data.safetensors")
    command = [str(Path(root) / "kronfluence" / "bin" / "python"), str(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = load_file(tmp_path / "scores.safetensors")["scores"].numpy()

    layers = linear_layers(model.requires_grad_(False))
    costs = [
        lambda row=row: token_losses(model, START, torch.as_tensor(row[None]), None)[0, PROMPT:].sum()
        for row in queries
    ]
    curvature = fit_curvature(model, START, layers, train, seed=0, labels="own")
    solved = solve(curvature, query_gradients(model, layers, costs), DAMPING)
    ours = score_all(model, START, layers, train, solved, tmp_path / "ours").scores
    assert theirs.shape == ours.shape == (10, 96)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(np.abs(theirs).max()))
