"""The encoder's product in other precisions, and compiled: near the plain one, and training goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Literal

import pytest
import torch
from torch.testing import assert_close

from sae.architectures import step as step_module
from sae.architectures.step import Room, Rooms
from sae.architectures.weights import Weights
from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.precision import encoder_product
from sae.training.train import train
from tests.sae.forwards import forward_of
from tests.sae.planted import max_cosines, planted

CENTRED = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))


def weights() -> Weights:
    generator = torch.Generator().manual_seed(1)
    encoder, b_enc, decoder, b_dec = (
        torch.randn(*shape, generator=generator) for shape in ((40, 16), (40,), (40, 16), (16,))
    )
    return Weights(encoder, b_enc, decoder, b_dec)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("auto", 1e-5), ("bfloat16", 0.1)])
def test_the_product_is_what_it_should_be_to_its_precision(
    precision: Literal["float32", "auto", "bfloat16"], tolerance: float
) -> None:
    w = weights()
    product = encoder_product(Recipe(precision=precision), w, Rooms(w.encoder))
    expected = (CENTRED.double() @ w.encoder.double().t()).float()
    room = torch.empty(24, 40)
    found = product(CENTRED, w.encoder, room)
    assert_close(found, expected, rtol=0, atol=tolerance)
    assert found.data_ptr() == room.data_ptr(), "no room is taken anew at every step"
    if precision == "bfloat16":
        assert float((found - expected).abs().max()) > 1e-3, "it is less precise indeed"


@pytest.mark.parametrize("able", [True, False])
def test_a_large_product_is_rounded_on_a_processor_that_gains_by_it(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sae.training.precision.multiplies_in_bfloat16", lambda: able)
    w, room = weights(), torch.empty(24, 40)
    exact = CENTRED @ w.encoder.t()
    for batch, rounded in ((2**21, able), (64, False)):
        found = encoder_product(Recipe(batch=batch), w, Rooms(w.encoder))(CENTRED, w.encoder, room)
        assert (float((found - exact).abs().max()) > 1e-3) == rounded


def test_room_is_taken_once_and_again_only_for_more() -> None:
    room = Room(torch.empty(1, dtype=torch.float64))
    first = room.matrix(6, 4)
    assert first.dtype == torch.float64
    assert room.matrix(2, 12).data_ptr() == first.data_ptr() == room.matrix(1, 3).data_ptr()
    assert room.matrix(5, 5).shape == (5, 5)


@pytest.mark.parametrize("chosen", [None, torch.tensor([7, 0, 39])])
def test_blocks_are_the_product_piece_by_piece(chosen: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "_LEAST_VECTORS", 5)
    monkeypatch.setattr(step_module, "_BLOCK", 1)
    w = weights()
    blocks = [block.clone() for block in forward_of(w, CENTRED).blocks(chosen)]
    assert [block.shape[0] for block in blocks] == [5, 5, 5, 5, 4]
    rows = w.encoder if chosen is None else w.encoder[chosen]
    assert_close(torch.cat(blocks), CENTRED @ rows.t())


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
