"""Toy models come out as Elhage et al. 2022 found them, and the formulas are held against loops and draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from autointerp.progress import bar
from autointerp.toy.geometry import dimensions, geometry_of, represented
from autointerp.toy.phases import BOTH, FIRST, SECOND, phase_rows, phase_specs, theoretical_losses
from autointerp.toy.toy_models import ToyModels, ToySpec, draw_features, outputs, train_toys, untrained_like

SEEDS = 6
DENSE, MIDDLE, SPARSE = 1.0, 0.3, 0.03


def trained(specs: list[ToySpec], hidden: int, steps: int) -> ToyModels:
    with bar("toys", steps) as progress:
        return train_toys(specs, hidden, steps=steps, batch=256, seed=7, progress=progress)


@pytest.fixture(scope="module")
def sweep() -> ToyModels:
    importance = tuple(0.9**place for place in range(5))
    specs = [
        ToySpec(p, importance, seed, linear)
        for linear in (False, True)
        for p in (DENSE, MIDDLE, SPARSE)
        for seed in range(SEEDS)
    ]
    return trained(specs, 2, 2500)


def of(toys: ToyModels, density: float, linear: bool = False) -> list[np.ndarray]:
    chosen = (spec.density == density and spec.linear == linear for spec in toys.specs)
    return [weights.numpy() for weights, wanted in zip(toys.weights, chosen, strict=True) if wanted]


def test_dense_features_leave_the_two_most_important_alone_and_orthogonal(sweep: ToyModels) -> None:
    right = [weights for weights in of(sweep, DENSE) if represented(weights).tolist() == [True] * 2 + [False] * 3]
    assert len(right) >= SEEDS - 1
    for weights in right:
        assert abs(weights[:, 0] @ weights[:, 1]) < 0.1


def test_sparser_features_make_antipodal_pairs_and_then_pentagons(sweep: ToyModels) -> None:
    middle = Counter(map(geometry_of, of(sweep, MIDDLE)))
    sparse = Counter(map(geometry_of, of(sweep, SPARSE)))
    assert middle.most_common(1)[0][0] == "2 x antipodal pair"
    assert sparse["pentagon"] >= SEEDS - 1


def test_without_the_relu_nothing_is_in_superposition_at_any_density(sweep: ToyModels) -> None:
    models = [weights for density in (DENSE, MIDDLE, SPARSE) for weights in of(sweep, density, linear=True)]
    alone = [geometry_of(weights) == "2 x own dimension" for weights in models]
    assert sum(alone) >= len(models) - 1
    first_two = [represented(weights)[:2].all() for weights in models]
    assert sum(first_two) >= len(models) - 1


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    specs = [ToySpec(0.1, (1.0, 1.0, 1.0), seed) for seed in (0, 1)]
    first, again = trained(specs, 2, 40), trained(specs, 2, 40)
    assert torch.equal(first.weights, again.weights)
    assert not torch.equal(first.weights[0], first.weights[1])
    alone = trained(specs[1:], 2, 40)
    torch.testing.assert_close(alone.weights[0], first.weights[1], rtol=1e-4, atol=1e-5)


def test_an_untrained_model_has_the_norm_and_none_of_the_geometry(sweep: ToyModels) -> None:
    null = untrained_like(sweep, 3)
    torch.testing.assert_close(torch.linalg.matrix_norm(null.weights), torch.linalg.matrix_norm(sweep.weights))
    shapes = Counter(map(geometry_of, of(null, SPARSE)))
    assert shapes["pentagon"] <= 1


def test_outputs_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, bias = torch.randn(2, 2, 4, generator=generator), torch.randn(2, 4, generator=generator)
    x = torch.rand(2, 3, 4, generator=generator)
    made = outputs(weights, bias, x, torch.tensor([0.0, 1.0])[:, None, None])
    for model in range(2):
        for vector in range(3):
            slow = weights[model].T @ (weights[model] @ x[model, vector]) + bias[model]
            torch.testing.assert_close(made[model, vector], slow if model else slow.clamp(min=0))


def test_dimensions_are_those_of_a_loop_and_of_known_figures() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 7))
    weights[:, 2] = 0
    slow: list[float] = []
    for i in range(7):
        own = sum(float(w) ** 2 for w in weights[:, i])
        shared = sum((weights[:, i] @ weights[:, j]) ** 2 for j in range(7)) / own if own else 1.0
        slow.append(float(own / shared) if own else 0.0)
    np.testing.assert_allclose(dimensions(weights), slow)
    angles = 2 * np.pi * np.arange(5) / 5
    pentagon = np.stack([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(dimensions(pentagon), 0.4)
    pairs = np.array([[1.0, -1.0, 0.0, 0.0, 0.1], [0.0, 0.0, 1.0, -1.0, 0.0]])
    assert [geometry_of(pentagon), geometry_of(pairs)] == ["pentagon", "2 x antipodal pair"]
    assert geometry_of(np.zeros((2, 3))) == "nothing"
    assert geometry_of(np.eye(2)) == "2 x own dimension"


@pytest.mark.parametrize(("density", "ratio"), [(1.0, 0.3), (0.2, 1.0), (0.5, 4.0)])
def test_theoretical_losses_are_those_of_draws(density: float, ratio: float) -> None:
    x = draw_features(400_000, 2, density, torch.Generator().manual_seed(0))
    solutions = {FIRST: ([[1.0, 0.0]], [0.0, density / 2]), SECOND: ([[0.0, 1.0]], [density / 2, 0.0]),
                 BOTH: ([[1.0, -1.0]], [0.0, 0.0])}  # fmt: skip
    for name, (weights, bias) in solutions.items():
        made = outputs(torch.tensor([weights]), torch.tensor([bias]), x[None], torch.zeros(1, 1, 1))[0]
        drawn = ((x - made).square() * torch.tensor([1.0, ratio])).sum(dim=1).mean()
        assert float(drawn) == pytest.approx(theoretical_losses(density, ratio)[name], rel=0.02)


def test_training_ends_where_theory_says_in_cells_that_are_clear() -> None:
    rows = phase_rows(trained(phase_specs((1.0, 0.1), (0.2, 0.9, 5.0), 8), 1, 800))
    cells = {(row.density, row.ratio): row for row in sorted(rows, key=lambda row: -row.loss)}  # least loss last
    clear = [row for place, row in cells.items() if place != (1.0, 0.9)]
    assert [row.found for row in clear] == [row.theory for row in clear]
    assert {row.theory for row in clear} == {FIRST, SECOND, BOTH}
