"""The encoder's product in other precisions, and compiled: near the plain one, and training goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.precision import encoder_product
from sae.training.train import train
from sae.training.weights import Weights
from tests.sae.planted import max_cosines, planted

CENTRED = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))


def weights() -> Weights:
    generator = torch.Generator().manual_seed(1)
    return Weights(*(torch.randn(*shape, generator=generator) for shape in ((40, 16), (40,), (40, 16), (16,))))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("auto", 1e-5), ("bfloat16", 0.1)])
def test_the_product_is_what_it_should_be_to_its_precision(precision: str, tolerance: float) -> None:
    w, room = weights(), torch.empty(24, 40)
    product = encoder_product(Recipe(precision=precision), w, room)  # type: ignore[arg-type]
    expected = (CENTRED.double() @ w.encoder.double().t() + w.b_enc.double()).float()
    found = product(CENTRED, w, room)
    assert_close(found, expected, rtol=0, atol=tolerance)
    assert found.data_ptr() == room.data_ptr(), "no room is taken anew at every step"
    if precision == "bfloat16":
        assert float((found - expected).abs().max()) > 1e-3, "it is less precise indeed"


def test_training_in_bfloat16_finds_what_was_planted() -> None:
    vectors, dictionary = planted(8000, d_in=32, atoms=40, active=3, seed=1)
    recipe = Recipe("batchtopk", width=64, k=3, batch=200, lr=1e-2, precision="bfloat16")
    sae, _ = train(recipe, MemoryVectors(vectors), passes=8, seed=0)
    assert float(max_cosines(dictionary, sae.W_dec).mean()) > 0.95


_COMPILED = """
import torch
from sae.recipe import Recipe
from sae.training.trainer import Trainer
x = torch.randn(512, 16, generator=torch.Generator().manual_seed(0))
losses = []
for compiled in (False, True):
    trainer = Trainer(Recipe("topk", width=40, k=4, batch=64, compile=compiled), x, steps=10, seed=0)
    losses.append([trainer.step(part).loss for part in x.split(64)])
assert len(losses[0]) == 8 and all(abs(a - b) < 1e-4 for a, b in zip(*losses)), losses
print("the same")
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_it_trains_the_same() -> None:
    """In a process of its own: the compiler does not take the checks of shapes that the tests add to every function."""
    done = subprocess.run([sys.executable, "-c", _COMPILED], capture_output=True, text=True, check=False)
    assert done.stdout == "the same\n", done.stderr
