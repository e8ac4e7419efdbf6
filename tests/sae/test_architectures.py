"""The hand-written steps against plain dense autograd: loss and every gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from sae.architectures import jumprelu
from sae.architectures.registry import TRAINABLE, trainable
from sae.architectures.standard import geometric_median
from sae.architectures.step import Forward
from sae.architectures.weights import Weights, drop_parallel_gradient, gradient_of, rescale_decoder
from sae.codes import dense
from sae.errors import SaeError
from sae.recipe import Recipe
from tests.sae.forwards import forward_of
from tests.sae.recipes import recipe_of
from tests.sae.twins import twin

VECTORS, D_IN, WIDTH, K = 40, 12, 32, 4
LENGTH, PENALTY = 2.5, 0.7


def recipe(architecture: str, **more: object) -> Recipe:
    settings = {"width": WIDTH, "k": K, "l1": 0.3, "l0": 0.4, "groups": (0.25, 0.25, 0.5), "batch": VECTORS, **more}
    return recipe_of(architecture, **settings)


def random_weights(architecture: str, dtype: torch.dtype) -> Weights:
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    own = {name: random(WIDTH) * 0.3 for name in trainable(recipe(architecture)).own(LENGTH)}
    return Weights(random(WIDTH, D_IN), random(WIDTH), random(WIDTH, D_IN), random(D_IN), own)


def forward(weights: Weights, x: torch.Tensor, dead: list[int]) -> Forward:
    centred = x - weights.b_dec
    return forward_of(weights, centred, dead=dead, penalty=PENALTY, length=LENGTH)


@pytest.mark.parametrize("architecture", list(TRAINABLE))
@pytest.mark.parametrize("dead", [[], [2], [1, 5, 6, 20, 29, 30, 31, 3, 4, 7]])
@pytest.mark.parametrize("sparse_below", [0.0, 1.0])  # the dense form of the code, and the sparse one
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_step_equals_dense_autograd(
    architecture: str,
    dead: list[int],
    sparse_below: float,
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dense, "_SPARSE_BELOW", sparse_below)
    monkeypatch.setattr(jumprelu, "_BANDWIDTH", 0.2)  # so that several entries of each latent are near its threshold
    monkeypatch.setattr("tests.sae.twins._BANDWIDTH", 0.2)
    weights = random_weights(architecture, dtype)
    x = torch.randn(VECTORS, D_IN, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype) + 1
    for tensor in weights.all().values():
        gradient_of(tensor).fill_(7.0)  # a step must not add to what an earlier one left
    step = trainable(recipe(architecture)).step(forward(weights, x, dead))

    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in weights.all().items()}
    loss, unexplained = twin(recipe(architecture), leaves, x, torch.tensor(dead, dtype=torch.int64), PENALTY, LENGTH)
    loss.backward()
    assert_close(step.loss, loss.detach(), rtol=tolerance, atol=0)
    assert_close(step.unexplained, unexplained.detach(), rtol=tolerance, atol=0)
    for name, ours in weights.all().items():
        expected = leaves[name].grad
        assert expected is not None, name
        scale = float(expected.abs().max())
        assert scale > 0, name
        about = partial("{}: {}".format, name)
        assert_close(gradient_of(ours), expected, rtol=tolerance, atol=tolerance * scale, msg=about)
    if step.losses is not None:
        assert_close(step.losses.mean(), loss.detach(), rtol=tolerance, atol=0)


@pytest.mark.parametrize("architecture", list(TRAINABLE))
def test_what_is_exported_describes_raw_vectors_as_training_did_scaled_ones(architecture: str) -> None:
    """With the threshold that training used, the form for use gives the code of training, in the vectors' own unit."""
    weights = random_weights(architecture, torch.float32)
    rescale_decoder(weights)
    made = trainable(recipe(architecture))
    x = torch.randn(VECTORS, D_IN, generator=torch.Generator().manual_seed(5)) + 1
    step = made.step(forward(weights, x, []))
    sae = made.export(weights, scale=4.0)
    code = sae.encode(x / 4)
    if architecture in ("batchtopk", "matryoshka"):  # its threshold is the least activation of the one batch, exclusive
        assert int((code > 0).sum()) == int(step.fired.sum()) - 1
    else:
        assert_close((code > 0).sum(0), step.fired)
    unexplained = (x / 4 - sae.reconstruct(x / 4)).square().sum() / (x / 4 - (x / 4).mean(0)).square().sum()
    assert float(unexplained) == pytest.approx(float(step.unexplained), rel=1e-2)


def test_decoder_rows_stay_unit_and_their_gradient_perpendicular() -> None:
    weights = random_weights("topk", torch.float64)
    rescale_decoder(weights)
    assert_close(weights.decoder.norm(dim=1), torch.ones(WIDTH, dtype=torch.float64))
    gradient_of(weights.decoder).normal_(generator=torch.Generator().manual_seed(0))
    before = gradient_of(weights.decoder).clone()
    drop_parallel_gradient(weights)
    after = gradient_of(weights.decoder)
    assert float((after * weights.decoder).sum(1).abs().max()) < 1e-12
    parallel = before - after
    assert_close(parallel, (before * weights.decoder).sum(1, keepdim=True) * weights.decoder)


def test_the_geometric_median_has_the_least_sum_of_distances_and_ignores_an_outlier() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(200, 5, generator=generator, dtype=torch.float64) + 3
    cloud[0] = 1e6
    median = geometric_median(cloud)

    def distances(point: torch.Tensor) -> float:
        return float((cloud - point).norm(dim=1).sum())

    for _ in range(50):
        assert distances(median) <= distances(median + 0.01 * torch.randn(5, generator=generator, dtype=torch.float64))
    assert float((median - 3).abs().max()) < 0.5 < float((cloud.mean(0) - 3).abs().max())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "topk", "k": 65}, "k = 65 active latents of width = 32"),
        ({"architecture": "jumprelu", "k": 0}, "k = 0 active latents"),
        ({"architecture": "matryoshka", "groups": (0.5, 0.4)}, "add up to 0.9"),
        ({"architecture": "matryoshka", "groups": (0.01, 0.99)}, "leave a group of 32 latents empty"),
    ],
)
def test_recipes_that_cannot_be_trained_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SaeError, match=message):
        trainable(recipe(**settings))


def test_an_unknown_architecture_is_named() -> None:
    unknown = recipe("topk")
    object.__setattr__(unknown, "architecture", "vanilla")
    with pytest.raises(SaeError, match="'vanilla' can't be trained: valid: batchtopk, gated, jumprelu"):
        trainable(unknown)
