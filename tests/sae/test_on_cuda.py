"""On a GPU: the steps of every architecture, what training ends with, how the product is made, and going on later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sae.architectures.registry import TRAINABLE
from sae.architectures.step import Rooms
from sae.architectures.weights import Weights, gradient_of
from sae.errors import SaeError
from sae.evaluate import evaluate
from sae.recipe import Recipe
from sae.streams.live import LiveVectors
from sae.streams.vectors import MemoryVectors
from sae.training.precision import encoder_product
from sae.training.train import Checkpoints, train, train_together
from sae.training.trainer import Trained, Trainer, TrainState
from tests.on_cuda import ON_CUDA
from tests.sae.planted import max_cosines, planted
from tests.sae.recipes import recipe_of

pytestmark = ON_CUDA

D_IN, WIDTH, K, BATCH = 32, 128, 4, 256


def recipe(architecture: str, **more: object) -> Recipe:
    settings: dict[str, object] = {"width": WIDTH, "k": K, "l1": 0.1, "batch": BATCH, "lr": 3e-3, **more}
    return recipe_of(architecture, **settings)


def vectors(count: int = 20 * BATCH, seed: int = 1) -> tuple[Tensor, Tensor]:
    return planted(count, d_in=D_IN, atoms=48, active=3, seed=seed)


@pytest.mark.parametrize("architecture", list(TRAINABLE))
@pytest.mark.parametrize("dead", [0, 40])
def test_a_step_has_the_loss_and_the_gradients_that_it_has_on_the_processor(architecture: str, dead: int) -> None:
    """In float32; `dead` latents are described as silent, so that an auxiliary loss has some to bring back."""
    data, _ = vectors()
    trainers = [
        Trainer(recipe(architecture, precision="float32"), data, steps=400, seed=3, device=device)
        for device in ("cpu", "cuda")
    ]
    for trainer in trainers:
        trainer._silent[:dead] = 10**9
    for number in range(3):
        x = data[number * BATCH : (number + 1) * BATCH]
        ours, theirs = (trainer.step(x) for trainer in trainers)
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-4)
        assert theirs.fvu == pytest.approx(ours.fvu, rel=1e-4)
        assert (theirs.l0, theirs.dead_share) == pytest.approx((ours.l0, ours.dead_share), rel=2e-3)
        on_cpu, on_cuda = (trainer._weights.all() for trainer in trainers)
        for name, tensor in on_cpu.items():
            expected, got = gradient_of(tensor), gradient_of(on_cuda[name])
            assert got.device.type == "cuda"
            if number == 0:  # later ones are those of weights that Adam has moved by the sign of what was nearly 0
                scale = float(expected.abs().max())
                assert_close(got.cpu(), expected, rtol=1e-3, atol=1e-4 * scale, msg=partial("{}: {}".format, name))


@pytest.mark.parametrize(
    ("architecture", "precision"),
    [*((name, "float32") for name in TRAINABLE), ("batchtopk", "auto"), ("gated", "auto")],
)
def test_training_goes_the_same_way_and_ends_as_good(architecture: str, precision: str) -> None:
    data, dictionary = vectors(60 * BATCH)
    source, held_out = MemoryVectors(data[: 50 * BATCH]), data[50 * BATCH :]
    curves: dict[str, list[TrainState]] = {"cpu": [], "cuda": []}
    ended = {
        device: train(
            recipe(architecture, precision=precision if device == "cuda" else "float32", lr=1e-2, l1=0.05), source,
            passes=4, seed=5, progress=curve.append, device=device,
        )
        for device, curve in curves.items()
    }  # fmt: skip
    early = 20 if precision == "float32" else 5
    for ours, theirs in zip(curves["cpu"][:early], curves["cuda"], strict=False):
        assert theirs.loss == pytest.approx(ours.loss, rel=1e-2), ours.step
    found = {}
    for device, (sae, metrics) in ended.items():
        score = evaluate(sae, held_out.split(BATCH))
        cosines = float(max_cosines(dictionary, sae.W_dec.cpu()).mean())
        found[device] = torch.tensor([score.fvu, score.l0 / K, metrics.fvu, cosines])
    assert_close(found["cuda"], found["cpu"], rtol=0.1, atol=0.02)
    assert float(found["cuda"][-1]) > (0.5 if architecture == "gated" else 0.8), "what was planted is found"


@pytest.mark.parametrize("architecture", list(TRAINABLE))
def test_a_trained_one_encodes_and_is_measured_as_on_the_processor(architecture: str) -> None:
    data, _ = vectors()
    sae, _ = train(recipe(architecture), MemoryVectors(data), passes=2, seed=5)
    moved, x = sae.to("cuda"), data.cuda()
    chosen = torch.tensor([3, 0, 77])
    scale = float(sae.encode(data).max())
    for ours, theirs in (
        (sae.encode(data), moved.encode(x)),
        (sae.encode_latents(data, chosen), moved.encode_latents(x, chosen.cuda())),
        (sae.encode_sparse(data).dense(), moved.encode_sparse(x).dense()),
        (sae.reconstruct(data), moved.reconstruct(x)),
    ):
        # An activation that is within rounding of the threshold may be on one side of it here and on the other there.
        apart = (theirs.cpu() - ours).abs() > 1e-4 * scale
        assert float(apart.double().mean()) < 1e-4
    here, there = evaluate(sae, data.split(300)), evaluate(moved, x.split(300))
    assert (there.l0, there.fvu) == pytest.approx((here.l0, here.fvu), rel=1e-3)
    assert_close(there.density, here.density, rtol=0, atol=1e-3)


def test_the_encoders_product_is_exact_in_float32_near_in_bfloat16_and_one_of_both_by_default() -> None:
    generator = torch.Generator().manual_seed(0)
    x, rows = (torch.randn(n, 512, generator=generator).cuda() for n in (4096, 8192))
    weights = Weights(rows, rows.new_zeros(8192), rows.clone(), rows.new_zeros(512))
    exact = x.double() @ rows.double().t()
    made = {}
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 1e-2), ("auto", 1e-2)):
        rooms = Rooms(rows)
        room = rooms.products.matrix(4096, 8192)
        product = encoder_product(Recipe(width=8192, batch=4096, precision=precision), weights, rooms)  # type: ignore[arg-type]
        made[precision] = product(x, rows, room)
        assert made[precision].dtype == torch.float32
        assert made[precision].data_ptr() == room.data_ptr(), "in the room that was given"
        assert float((made[precision] - exact).norm() / exact.norm()) < tolerance
    assert any(torch.equal(made["auto"], made[precision]) for precision in ("float32", "bfloat16"))


class _Stop(Exception):
    pass


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_what_began_on_a_gpu_goes_on_there_and_on_the_processor(device: str, tmp_path: Path) -> None:
    data, _ = vectors()
    recipes = {
        name: (recipe(name, precision="float32", resample=(0.2, 0.7), resample_draw=900), seed)
        for seed, name in enumerate(TRAINABLE)
    }
    seen: list[Mapping[str, TrainState]] = []

    def run(device: str, stop_at: int | None = None) -> dict[str, Trained]:
        def note(states: Mapping[str, TrainState]) -> None:
            seen.append(states)
            if states["topk"].step == stop_at:
                raise _Stop

        return train_together(
            recipes, MemoryVectors(data), passes=2, seed=7, progress=note, device=device, checkpoints=kept
        )

    kept: Checkpoints | None = None
    whole, curve = run("cuda"), list(seen)
    kept = Checkpoints(tmp_path / "state.safetensors", 0.0)
    seen.clear()
    with pytest.raises(_Stop):
        run("cuda", stop_at=11)
    seen.clear()
    continued = run(device)
    assert [states["topk"].step for states in seen] == list(range(11, 41)), "after the last checkpoint, of step 10"
    for name in recipes:
        assert seen[0][name].loss == pytest.approx(curve[10][name].loss, rel=1e-2), name
        assert continued[name].metrics.fvu == pytest.approx(whole[name].metrics.fvu, rel=0.1, abs=0.02), name
        assert continued[name].sae.device.type == device


def test_vectors_in_the_gpus_memory_come_in_the_same_order() -> None:
    data, _ = vectors(1000)
    ours, theirs = (MemoryVectors(source).batches(128, 2, 9) for source in (data, data.cuda()))
    for one, other in zip(ours, theirs, strict=True):
        assert other.device.type == "cuda"
        assert torch.equal(one, other.cpu())


def test_vectors_that_a_gpu_computes_meanwhile_are_trained_on() -> None:
    data, _ = vectors()
    chunks = data.cuda().split(300)
    live = LiveVectors(lambda first: iter(chunks[first:]), count=len(data), d_in=D_IN, buffer=2000, about="test")
    _, metrics = train(recipe("batchtopk"), live, passes=4, seed=5, device="cuda")
    assert metrics.vectors == 4 * len(data)
    assert metrics.fvu < 0.5


def test_a_gpu_that_there_is_not_is_an_error_in_one_line_and_harms_nothing() -> None:
    data, _ = vectors(300)
    with pytest.raises(SaeError, match=r"^device 'cuda:77' can't be used \([^\n]*\): give cpu or cuda$"):
        Trainer(recipe("topk"), data, steps=1, seed=0, device="cuda:77")
    assert float(torch.ones(2, device="cuda").sum()) == 2.0
