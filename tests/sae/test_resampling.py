"""New weights for dead latents: from which inputs, how drawn, and what Adam has forgotten of them."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from sae.architectures.weights import Weights, gradient_of, start_weights
from sae.parallel import Peers
from sae.recipe import Recipe
from sae.training import trainer as trainer_module
from sae.training.resampling import Draw, resample
from sae.training.trainer import INPUT_RMS, Trainer
from tests.sae.planted import planted

CPU = torch.device("cpu")
WIDTH, D_IN = 12, 5
MOMENTS = ("exp_avg", "exp_avg_sq")


def drawn(losses: list[float], take: int, seed: int, batch: int = 100, most: int = 3) -> tuple[int, ...]:
    """Which of the vectors, by their number, are drawn."""
    draw = Draw(most, 1, seed, CPU, Peers())
    numbers = torch.arange(float(len(losses)))[:, None]
    for part, their in zip(torch.split(numbers, batch), torch.split(torch.tensor(losses), batch), strict=True):
        draw.add(part, their)
    return tuple(int(number) for number in draw.take(take)[:, 0])


@pytest.mark.parametrize("batch", [1, 100])
def test_an_input_of_twice_the_loss_is_drawn_four_times_as_often(batch: int) -> None:
    draws = 600
    found = sum(drawn([1.0, 2.0], 1, seed, batch) == (1,) for seed in range(draws))
    assert stats.binomtest(found, draws, 0.8).pvalue > 0.001
    for wrong in (2 / 3, 8 / 9):  # by the loss itself, and by its cube
        assert stats.binomtest(found, draws, wrong).pvalue < 1e-6


def test_several_are_drawn_one_after_the_other_without_replacement() -> None:
    """Every order has the chance of an urn from which weights 1, 4 and 9 are taken, whatever came in which batch."""
    draws, weights = 1200, (1.0, 4.0, 9.0)
    orders = [drawn([1.0, 2.0, 3.0], 3, seed, batch=2) for seed in range(draws)]
    chances = {
        order: weights[order[0]] / 14 * weights[order[1]] / (14 - weights[order[0]]) for order in permutations(range(3))
    }
    assert sum(chances.values()) == pytest.approx(1)
    seen = [orders.count(order) for order in chances]
    assert stats.chisquare(seen, [draws * chance for chance in chances.values()]).pvalue > 0.001


def test_no_more_are_kept_than_there_are_latents_and_those_are_the_ones_that_a_larger_room_gives() -> None:
    losses = torch.rand(200, generator=torch.Generator().manual_seed(0)).tolist()
    assert drawn(losses, 5, seed=3, batch=7, most=5) == drawn(losses, 5, seed=3, batch=200, most=200)
    assert len(drawn(losses, 9, seed=3, batch=7, most=5)) == 5
    assert len(drawn([1.0, 2.0], 9, seed=3)) == 2


def test_an_input_without_a_loss_comes_last() -> None:
    for seed in range(50):
        assert drawn([0.0, 1e-6, 0.0, 1e-6], 4, seed, most=4)[:2] in ((1, 3), (3, 1))


def after_some_steps() -> tuple[Weights, torch.optim.Adam]:
    """Weights with moments in Adam, none of them 0."""
    generator = torch.Generator().manual_seed(1)
    weights = start_weights(WIDTH, torch.ones(D_IN), {}, 0.5, generator, CPU)
    adam = torch.optim.Adam(weights.all().values(), lr=1e-2)
    for _ in range(3):
        for tensor in weights.all().values():
            gradient_of(tensor).copy_(torch.randn(tensor.shape, generator=generator))
        adam.step()
    return weights, adam


def test_a_resampled_latent_is_its_input_and_adam_knows_nothing_of_it() -> None:
    weights, adam = after_some_steps()
    before = {name: tensor.clone() for name, tensor in weights.all().items()}
    known = {name: {m: adam.state[t][m].clone() for m in MOMENTS} for name, t in weights.all().items()}
    assert all((moment != 0).all() for of_tensor in known.values() for moment in of_tensor.values())
    dead, live = torch.tensor([1, 4, 11]), torch.tensor([0, 2, 3, 5, 6, 7, 8, 9, 10])
    inputs = 3 * torch.randn(3, D_IN, generator=torch.Generator().manual_seed(2))
    resample(weights, adam, dead, inputs)

    directions = inputs / inputs.norm(dim=1, keepdim=True)
    assert_close(weights.decoder[dead], directions)
    assert_close(weights.encoder[dead], 0.2 * before["encoder"][live].norm(dim=1).mean() * directions)
    assert (weights.b_enc[dead] == 0).all()
    for name in ("decoder", "encoder", "b_enc"):
        tensor = weights.all()[name]
        assert torch.equal(tensor[live], before[name][live]), name
        for moment in MOMENTS:
            found = adam.state[tensor][moment]
            assert (found[dead] == 0).all(), (name, moment)
            assert torch.equal(found[live], known[name][moment][live]), (name, moment)
    assert torch.equal(weights.b_dec, before["b_dec"])
    assert all(torch.equal(adam.state[weights.b_dec][m], known["b_dec"][m]) for m in MOMENTS)


def test_with_fewer_inputs_than_dead_latents_the_rest_stays_as_it_is() -> None:
    weights, adam = after_some_steps()
    before = {name: tensor.clone() for name, tensor in weights.all().items()}
    dead = torch.tensor([1, 4, 11])
    resample(weights, adam, dead, torch.ones(2, D_IN))
    for name, tensor in weights.all().items():
        assert torch.equal(tensor[11], before[name][11]) if name != "b_dec" else torch.equal(tensor, before[name])
    assert (weights.b_enc[dead[:2]] == 0).all()
    assert (adam.state[weights.encoder]["exp_avg_sq"][11] != 0).all()
    lengths = before["encoder"][[n for n in range(WIDTH) if n not in (1, 4)]].norm(dim=1)
    assert_close(weights.encoder[1].norm(), 0.2 * lengths.mean())


def test_nothing_dead_changes_nothing_and_all_dead_get_a_length() -> None:
    weights, adam = after_some_steps()
    before = {name: tensor.clone() for name, tensor in weights.all().items()}
    resample(weights, adam, torch.tensor([], dtype=torch.int64), torch.ones(3, D_IN))
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights.all().items())
    resample(weights, adam, torch.arange(WIDTH), torch.ones(WIDTH, D_IN))
    assert_close(weights.encoder.norm(dim=1), torch.full((WIDTH,), 0.2))


class Recorded(Draw):
    """Keeps what was offered, with the weights of the moment."""

    offered: list[tuple[torch.Tensor, torch.Tensor]] = []

    def add(self, centred: torch.Tensor, losses: torch.Tensor) -> None:
        self.offered.append((centred.clone(), losses.clone()))
        super().add(centred, losses)


def test_in_training_dead_latents_get_inputs_of_the_last_steps_by_their_own_losses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer_module, "Draw", Recorded)
    monkeypatch.setattr(Recorded, "offered", [])
    vectors, _ = planted(2560, d_in=16, atoms=30, active=3, seed=8)
    recipe = Recipe("standard", width=24, batch=64, l1=0.3, lr=1e-3, sparsity_warm_up=0.5, resample=(0.5,),
                    resample_draw=256)  # fmt: skip
    trainer = Trainer(recipe, vectors, steps=40, seed=0)
    length = INPUT_RMS * 16**0.5
    trainer._weights.b_enc[:8] = -100.0
    batches = torch.split(vectors, 64)
    trainer.step(batches[0])
    sae, metrics = trainer.finish()
    products = metrics.scale * (vectors - sae.b_dec) @ sae.W_enc[:, 8]
    trainer._weights.b_enc[8] = -float(products.quantile(0.985))  # about one vector of a batch activates it
    once = False
    for number, x in enumerate(batches[1:20], 2):
        sae, metrics = trainer.finish()
        fired = (sae.encode(x) > 0).sum(dim=0)
        silent = trainer.state()["silent"].clone()
        trainer.step(x)
        if number < 20:
            assert torch.equal(trainer.state()["silent"], torch.where(fired > 0, 0, silent + 64))
        once |= bool((fired == 1).any())
        assert len(Recorded.offered) == max(number - 16, 0), "the last 256 vectors before step 20"
        if Recorded.offered:
            centred, losses = Recorded.offered[-1]
            assert_close(centred, metrics.scale * (x - sae.b_dec), rtol=1e-3, atol=1e-5)
            codes = sae.encode(x)
            error = (metrics.scale * (codes @ sae.W_dec + sae.b_dec - x)).square().sum(dim=1)
            price = 0.3 * number / 20 * length * metrics.scale * codes.sum(dim=1)  # the penalty still rises
            assert_close(losses, (error + price) / length**2, rtol=1e-3, atol=1e-5)
            assert losses.std() > 0.01
        if number == 19:
            state = {name: tensor.clone() for name, tensor in trainer.state().items()}
            assert (state["weights.b_enc"][:8] < -50).all(), "nothing is done before"
            assert (state["silent"][:8] == 19 * 64).all()

    assert once, "a latent that one vector of a batch activates is not silent"
    after = trainer.state()
    assert (after["silent"][:8] == 0).all()
    assert (after["weights.b_enc"][:8] == 0).all()
    assert (after["weights.b_enc"][8:] != 0).all()
    for name in ("encoder", "decoder", "b_enc"):
        for moment in MOMENTS:
            assert (after[f"adam.{name}.{moment}"][:8] == 0).all(), (name, moment)
            assert (after[f"adam.{name}.{moment}"][8:] != 0).any(), (name, moment)
    offered = torch.cat([centred for centred, _ in Recorded.offered])
    cosines = after["weights.decoder"][:8] @ (offered / offered.norm(dim=1, keepdim=True)).t()
    assert_close(cosines.max(dim=1).values, torch.ones(8))
    assert len(set(cosines.argmax(dim=1).tolist())) == 8, "each has an input of its own"
