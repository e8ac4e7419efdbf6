"""Autoencoders of which a part stays as it was drawn, to the bit; the rest is trained as a slow twin trains it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from autointerp.study_file import parse_study
from autointerp.train.saes import saes_as_hashed
from sae.architectures.registry import TRAINABLE
from sae.recipe import Recipe
from sae.streams.vectors import MemoryVectors
from sae.training.freezing import LEAST_COSINE, nearest_within
from sae.training.train import Checkpoints, train, train_together
from sae.training.trainer import Trainer, penalty, rate
from tests.sae.planted import planted
from tests.sae.recipes import recipe_of
from tests.sae.twins import twin

STEPS, BATCH, D_IN = 30, 64, 12


def recipe(architecture: str, freeze: str, **more: object) -> Recipe:
    settings = {"width": 24, "k": 4, "batch": BATCH, "lr": 0.03, "l1": 0.05, "resample": (), "clip": 1.0, **more}
    return recipe_of(architecture, freeze=freeze, **settings)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer._weights.all().items()}


def slowly(wanted: Recipe, start: dict[str, Tensor], batches: list[Tensor], scale: float, length: float) -> Tensor:
    """Dense autograd and Adam; what is frozen is no parameter. Returns the encoder, then the decoder."""
    p = {name: tensor.double().requires_grad_(name != wanted.freeze) for name, tensor in start.items()}
    moved = [tensor for tensor in p.values() if tensor.requires_grad]
    adam = torch.optim.Adam(moved, lr=wanted.lr, betas=(0.9, 0.999), eps=1e-10)
    first = p["decoder"].detach().clone()
    for done, x in enumerate(batches):
        for group in adam.param_groups:
            group["lr"] = wanted.lr * rate(wanted, done, STEPS)
        adam.zero_grad()
        nobody = torch.empty(0, dtype=torch.int64)
        loss, _ = twin(wanted, p, scale * x.double(), nobody, penalty(wanted, done, STEPS), length)
        loss.backward()
        rows = p["decoder"]
        if rows.grad is not None:
            rows.grad -= (rows.grad * rows.detach()).sum(1, keepdim=True) * rows.detach()
        torch.nn.utils.clip_grad_norm_(moved, 1.0)
        adam.step()
        if rows.requires_grad:
            with torch.no_grad():
                rows /= rows.norm(dim=1, keepdim=True)
                if wanted.freeze == "soft-decoder":
                    rows.copy_(_turned_back(rows, first))
    return torch.cat([p["encoder"], p["decoder"]]).detach()


def _turned_back(rows: Tensor, first: Tensor) -> Tensor:
    """Row by row, by angles."""
    most = torch.arccos(torch.tensor(LEAST_COSINE, dtype=rows.dtype))
    found = []
    for row, start in zip(rows, first, strict=True):
        angle = torch.arccos((row @ start).clamp(-1, 1))
        if angle > most:  # on the great circle from start to row, at the greatest angle
            row = (torch.sin(angle - most) * start + torch.sin(most) * row) / torch.sin(angle)
        found.append(row)
    return torch.stack(found)


@pytest.mark.parametrize("freeze", ["decoder", "soft-decoder", "encoder"])
@pytest.mark.parametrize("architecture", ["gated", "standard"])  # those in which no dead latent is revived
def test_the_rest_is_trained_as_a_slow_twin_trains_it(architecture: str, freeze: str) -> None:
    wanted = recipe(architecture, freeze)
    vectors = planted(BATCH * STEPS, D_IN, atoms=20, active=3, seed=1)[0]
    batches = list(vectors.split(BATCH))
    trainer = Trainer(wanted, vectors[:512], steps=STEPS, seed=5)
    start = weights(trainer)
    for x in batches:
        trainer.step(x)
    end = weights(trainer)
    theirs = slowly(wanted, start, batches, trainer._scale, trainer._length)
    assert_close(torch.cat([end["encoder"], end["decoder"]]).double(), theirs, rtol=0, atol=2e-4)
    for name in ("encoder", "decoder"):
        assert torch.equal(end[name], start[name]) == (name == freeze), name
    assert not torch.equal(end["b_enc"], start["b_enc"])
    if freeze == "soft-decoder":
        cosines = torch.linalg.vecdot(end["decoder"], start["decoder"])
        assert float(cosines.min()) > LEAST_COSINE - 1e-5
        if architecture == "standard":
            assert float(cosines.min()) == pytest.approx(LEAST_COSINE, abs=1e-5), "some row went as far as it may"


@pytest.mark.parametrize("architecture", list(TRAINABLE))
def test_every_architecture_keeps_the_frozen_part_to_the_bit_and_learns_with_the_rest(architecture: str) -> None:
    source = MemoryVectors(planted(4000, d_in=16, atoms=40, active=3, seed=1)[0])
    made = {
        freeze: train(recipe(architecture, freeze, width=64, resample=(0.3, 0.6)), source, passes=3, seed=3)
        for freeze in ("none", "decoder", "encoder")
    }
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(64, 16, generator=generator)
    drawn = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    assert torch.equal(made["decoder"].sae.W_dec, drawn)
    assert torch.equal(made["encoder"].sae.W_enc.t(), drawn * TRAINABLE[architecture].encoder_start)
    assert not torch.equal(made["none"].sae.W_dec, drawn)
    for name, one in made.items():
        assert one.metrics.fvu < 0.7, name


def test_interrupted_and_continued_the_bits_are_the_same(tmp_path: Path) -> None:
    vectors = MemoryVectors(planted(2000, d_in=16, atoms=40, active=3, seed=1)[0])
    recipes = {name: (recipe("topk", name), 1) for name in ("decoder", "soft-decoder", "encoder")}
    whole = train_together(recipes, vectors, passes=2, seed=7)

    def stop(states: object) -> None:
        if states["encoder"].step == 30:  # type: ignore[index]
            raise KeyboardInterrupt

    checkpoint = Checkpoints(tmp_path / "state.safetensors", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train_together(recipes, vectors, passes=2, seed=7, progress=stop, checkpoints=checkpoint)
    assert checkpoint.path.exists()
    continued = train_together(recipes, vectors, passes=2, seed=7, checkpoints=checkpoint)
    for name, trained in whole.items():
        for tensor in ("W_enc", "W_dec", "b_enc", "b_dec"):
            assert torch.equal(getattr(trained.sae, tensor), getattr(continued[name].sae, tensor)), (name, tensor)


def test_rows_within_the_cosine_stay_and_others_come_to_its_edge() -> None:
    start = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    rows = torch.tensor([[0.9, 0.19**0.5], [0.6, 0.8], [-1.0, 0.0]])
    held = nearest_within(rows, start, 0.8)
    assert_close(held[:2], torch.tensor([[0.9, 0.19**0.5], [0.8, 0.6]]))
    assert float(held[2, 0]) == pytest.approx(0.8)


def test_what_nothing_is_frozen_of_is_hashed_as_before() -> None:
    study = parse_study({"sae": [{"name": "a", "train": {}}, {"name": "b", "train": {"freeze": "decoder"}}]})
    a, b = saes_as_hashed(study.model_dump(mode="json"))["sae"]
    assert "freeze" not in a["train"]
    assert b["train"]["freeze"] == "decoder"
