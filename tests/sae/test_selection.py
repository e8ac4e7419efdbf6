"""Which latents are active in training, against sorting everything."""

from __future__ import annotations

import pytest
import torch

from sae.architectures.batchtopk import BatchTopK, positions_of_largest
from sae.architectures.topk import TopK
from sae.errors import SaeError
from sae.recipe import Recipe
from sae.training.parallel import Peers

ALONE = Peers()


def positions_by_sorting(flat: torch.Tensor, count: int) -> list[int]:
    order = sorted(range(len(flat)), key=lambda i: -float(flat[i]))
    last = float(flat[order[min(count, len(flat)) - 1]])
    return [i for i in range(len(flat)) if float(flat[i]) >= last and float(flat[i]) > 0]


@pytest.mark.parametrize("count", [1, 7, 60, 1999, 2000])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("length", [2000, 2003])
def test_largest_equal_sorting(count: int, shift: float, length: int) -> None:
    flat = torch.randn(length, generator=torch.Generator().manual_seed(count)) + shift
    expected = positions_by_sorting(flat, count)
    for guess in (
        0.0,
        float(flat.max()),
        float(flat.median()),
        0.95 * float(flat[expected].min()) if expected else 0.1,
    ):
        positions, values = positions_of_largest(flat, count, ALONE, guess)
        assert positions.tolist() == expected, guess
        assert torch.equal(values, flat[positions])


def test_a_misleading_sample_costs_time_only() -> None:
    flat = torch.rand(6100, generator=torch.Generator().manual_seed(0))
    flat[::61] += 10  # what is sampled is far above the rest
    assert positions_of_largest(flat, 500, ALONE)[0].tolist() == positions_by_sorting(flat, 500)


def test_ties_at_the_threshold_are_all_kept() -> None:
    flat = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.0])
    assert positions_of_largest(flat, 2, ALONE)[0].tolist() == [1, 2, 3, 4]


def test_batchtopk_spends_latents_where_they_are_large() -> None:
    pre = torch.tensor([[5.0, 4.0, 3.0, -1.0], [0.5, 0.2, -2.0, 0.1]])
    architecture = BatchTopK(Recipe(width=4, k=2))
    code = architecture.select(pre, ALONE)
    assert code.dense().tolist() == [[5.0, 4.0, 3.0, 0.0], [0.5, 0.0, 0.0, 0.0]]
    assert architecture.threshold == pytest.approx(0.5)


def test_threshold_follows_recent_batches() -> None:
    architecture = BatchTopK(Recipe(width=3, k=1))
    architecture.select(torch.tensor([[1.0, 0.0]]), ALONE)
    for _ in range(1000):
        architecture.select(torch.tensor([[3.0, 0.0]]), ALONE)
    assert architecture.threshold == pytest.approx(3.0, abs=1e-3)


def test_threshold_needs_an_active_latent() -> None:
    architecture = BatchTopK(Recipe(width=3, k=1))
    assert architecture.select(-torch.ones(2, 3), ALONE).latents.shape == (0,)
    with pytest.raises(SaeError, match="no latent has been active"):
        _ = architecture.threshold


def test_topk_takes_k_of_each_vector() -> None:
    pre = torch.tensor([[5.0, 4.0, 3.0, -1.0], [-0.5, 0.2, -2.0, -0.1]])
    topk = TopK(Recipe("topk", width=4, k=2))
    assert topk.select(pre, ALONE).dense().tolist() == [
        [5.0, 4.0, 0.0, 0.0],
        [0.0, pytest.approx(0.2), 0.0, 0.0],
    ]
