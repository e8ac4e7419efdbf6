"""Training from end to end: what was planted comes back, the same bits every time, and mistakes are named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from sae.architectures.weights import gradient_of
from sae.errors import SaeError
from sae.evaluate import evaluate
from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.train import train, train_together
from sae.training.trainer import INPUT_RMS, Trained, Trainer, TrainState, penalty, rate
from tests.sae.planted import max_cosines, planted
from tests.sae.recipes import recipe_of

ARCHITECTURES = ["topk", "batchtopk"]
K = 3


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run(architecture: str, vectors: torch.Tensor, seed: int = 0, **changes: int | float) -> Trained:
    settings: dict[str, int | float] = {"width": 64, "k": K, "batch": 256, "lr": 3e-3, **changes}
    passes = int(settings.pop("passes", 4))
    return train(recipe_of(architecture, **settings), MemoryVectors(vectors), passes=passes, seed=seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_planted_dictionary_is_found(architecture: str) -> None:
    vectors, dictionary = planted(12_000, d_in=32, atoms=40, active=K, seed=1)
    sae, metrics = run(architecture, vectors[:10_000], passes=8, batch=200, lr=1e-2)
    found = evaluate(sae, vectors[10_000:].split(500))
    assert float(max_cosines(dictionary, sae.W_dec).mean()) > 0.95
    assert found.explained_variance > 0.95
    assert found.l0 == pytest.approx(K, rel=0.15)
    assert metrics.fvu == pytest.approx(1 - found.explained_variance, abs=0.02)
    assert_close(sae.W_dec.norm(dim=1), torch.ones(64))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_same_seed_gives_the_same_bits(architecture: str) -> None:
    vectors, _ = planted(5120, d_in=32, atoms=80, active=K, seed=2)
    first, again, other = (run(architecture, vectors, seed=seed, width=512, batch=1024, passes=1) for seed in (5, 5, 6))
    assert first.metrics == again.metrics
    for name, tensor in first.sae.tensors().items():
        assert torch.equal(tensor, again.sae.tensors()[name]), name
    assert not torch.equal(first.sae.W_enc, other.sae.W_enc)


def test_the_order_of_the_vectors_is_the_seed_s_and_where_a_recipe_starts_is_its_own() -> None:
    vectors = MemoryVectors(planted(640, d_in=16, atoms=30, active=K, seed=2)[0])
    recipe = Recipe("topk", width=32, k=K, batch=64)

    def encoder(seed: int, own: int) -> torch.Tensor:
        return train_together({"one": (recipe, own)}, vectors, passes=1, seed=seed)["one"].sae.W_enc

    assert torch.equal(encoder(1, 5), encoder(1, 5))
    assert not torch.equal(encoder(1, 5), encoder(2, 5))
    assert not torch.equal(encoder(1, 5), encoder(1, 6))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_scale_of_the_vectors_is_folded_in(architecture: str) -> None:
    vectors, _ = planted(2048, d_in=16, atoms=30, active=K, seed=3)
    plain = run(architecture, vectors, passes=12)
    large = run(architecture, vectors * 64, passes=12)  # a power of two: not a bit of the scaled vectors differs
    assert plain.metrics.scale == 64 * large.metrics.scale
    centred = vectors - vectors.mean(0)
    assert float(centred.square().mean().sqrt()) * plain.metrics.scale == pytest.approx(INPUT_RMS, rel=0.05)
    assert_close(large.sae.encode(vectors * 64), plain.sae.encode(vectors) * 64)
    assert_close(large.sae.reconstruct(vectors * 64), plain.sae.reconstruct(vectors) * 64)
    assert evaluate(plain.sae, [vectors]).explained_variance == pytest.approx(1 - plain.metrics.fvu, abs=0.1)


@pytest.mark.parametrize("revival", [True, False])
def test_dead_latents_come_back(revival: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents that always lose against the others are revived; without the auxiliary loss they stay dead."""
    if not revival:
        monkeypatch.setattr("sae.architectures.revival.WEIGHT", 0.0)
    vectors, _ = planted(4096, d_in=16, atoms=60, active=4, seed=4)
    trainer = Trainer(Recipe("topk", width=64, k=4, batch=256, lr=3e-3), vectors, steps=320, seed=0)
    trainer._weights.encoder[:32] *= 0.01
    states = [trainer.step(x) for x in MemoryVectors(vectors).batches(256, passes=20, seed=0)]
    assert max(state.dead_share for state in states) >= 0.4
    if revival:
        assert states[-1].dead_share < 0.1
        assert any(state.loss > state.fvu for state in states)
    else:
        assert states[-1].dead_share >= 0.4


def test_progress_tells_every_step() -> None:
    vectors, _ = planted(1000, d_in=8, atoms=10, active=2, seed=5)
    seen: list[TrainState] = []
    recipe = Recipe("topk", width=16, k=2, batch=128)
    _, metrics = train(recipe, MemoryVectors(vectors), passes=3, seed=0, progress=seen.append)
    assert [state.step for state in seen] == list(range(1, 24))  # 3000 vectors, 23 whole batches
    assert {state.steps for state in seen} == {23}
    assert seen[-1].vectors == metrics.vectors == 23 * 128
    assert max(state.l0 for state in seen) <= 2


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_every_step_drops_the_gradient_along_decoder_rows_and_shortens_what_is_too_long(architecture: str) -> None:
    """In the buffers that Adam read: they keep what a step left in them."""
    vectors, _ = planted(512, d_in=16, atoms=30, active=4, seed=4)
    lengths = {}
    for clip in (None, 1e-3):
        recipe = Recipe(architecture, width=32, k=4, batch=128, clip=clip)  # type: ignore[arg-type]
        trainer = Trainer(recipe, vectors, steps=10, seed=0)
        rows = trainer.state()["weights.decoder"].clone()
        trainer.step(vectors[:128])
        gradients = {name: gradient_of(tensor) for name, tensor in trainer._weights.all().items()}
        along, length = (gradients["decoder"] * rows).sum(dim=1), gradients["decoder"].norm(dim=1)
        assert (along.abs() <= 1e-4 * length).all()
        assert (length > 0).any()
        lengths[clip] = float(torch.stack([gradient.norm() for gradient in gradients.values()]).norm())
    assert lengths[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert lengths[None] > 0.01


def test_schedule_rises_stays_and_falls() -> None:
    factors = [rate(Recipe(), done, 100) for done in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(factors[5:76]) == {1.0}
    assert factors[-1] == pytest.approx(0.04)
    assert all(0 < rate(Recipe(), done, steps) <= 1 for steps in (1, 2, 3) for done in range(steps))
    cosine = [rate(Recipe(decay="cosine", decay_share=0.5), done, 100) for done in range(100)]
    assert cosine[75] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(cosine[50:]))
    assert rate(Recipe(decay="none"), 99, 100) == 1.0
    assert [penalty(Recipe(sparsity_warm_up=0.1), done, 100) for done in (0, 4, 9, 99)] == pytest.approx(
        [0.1, 0.5, 1, 1]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 65}, "k = 65 active latents of width = 64"),
        ({"batch": 5000}, "4 x 1000 vectors are less than one batch of 5000"),
        ({"lr": 1e30}, "the loss is"),
    ],
)
def test_bad_recipes_are_named(changes: dict[str, Any], message: str) -> None:
    vectors, _ = planted(1000, d_in=8, atoms=10, active=2, seed=6)
    with pytest.raises(SaeError, match=message):
        run("batchtopk", vectors, **changes)


def test_bad_vectors_are_named() -> None:
    with pytest.raises(SaeError, match="the spread of the first vectors is 0"):
        run("topk", torch.ones(1000, 8))


def test_a_run_too_short_for_its_resampling_has_none() -> None:
    vectors, _ = planted(640, d_in=8, atoms=10, active=2, seed=7)
    recipe = Recipe("standard", width=16, batch=128, resample=(0.0256, 0.0512))
    assert train(recipe, MemoryVectors(vectors), passes=1, seed=0).metrics.steps == 5


def test_a_device_that_there_is_not_is_named_in_one_line() -> None:
    vectors, _ = planted(64, d_in=8, atoms=12, active=2, seed=1)
    with pytest.raises(SaeError, match=r"^device 'abacus' can't be used \([^\n]+\): give cpu or cuda$"):
        Trainer(Recipe("topk", width=16, k=2, batch=32), vectors, steps=1, seed=0, device="abacus")
