"""Figures in one pass, against the plain formulas over all vectors at once."""

from __future__ import annotations

import math

import pytest
import torch

import sae.evaluate
from sae.checkpoint import load
from sae.errors import SaeError
from sae.evaluate import Reconstruction, density_histogram, evaluate, nearest_cosines, summary_of
from tests.sae.test_checkpoint import FIXTURES, IN_USE


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed)) + 30


@pytest.mark.parametrize("name", IN_USE)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_streaming_equals_plain(name: str, size: int) -> None:
    sae = load(FIXTURES / name)
    x = vectors(40)
    activations = sae.encode(x).double()
    left = (x - sae.decode(sae.encode(x))).double().square().sum()
    total = (x - x.mean(0)).double().square().sum()
    found = evaluate(sae, iter(x.split(size)))
    assert found.vectors == 40
    assert found.l0 == pytest.approx(float((activations > 0).sum(1).double().mean()))
    assert found.fvu == pytest.approx(float(left / total), rel=1e-4)
    assert found.explained_variance == pytest.approx(float(1 - left / total), rel=1e-4)
    assert found.dead_share == pytest.approx(float((activations.max(0).values == 0).double().mean()))
    assert found.density.tolist() == pytest.approx((activations > 0).double().mean(0).tolist())


def test_a_tally_reconstructs_what_it_counts() -> None:
    sae = load(FIXTURES / "jumprelu")
    tally = Reconstruction(sae)
    torch.testing.assert_close(tally.reconstruct(vectors(9)), sae.decode(sae.encode(vectors(9))))
    tally.reconstruct(vectors(4, seed=1))
    assert tally.finish().vectors == 13


@pytest.mark.parametrize("same", [torch.zeros(0, 16), torch.ones(5, 16)])
def test_vectors_without_spread_are_named(same: torch.Tensor) -> None:
    with pytest.raises(SaeError, match="without any spread"):
        evaluate(load(FIXTURES / "topk"), [same])


def test_the_histogram_counts_every_latent_once_in_the_bin_of_its_logarithm() -> None:
    density = torch.tensor([0.0, 0.0, 1.0, 0.5, 0.011, 0.009, 1e-12, 1e-3], dtype=torch.float64)
    found = density_histogram(density)
    assert len(found.edges) == len(found.counts) + 1
    assert (found.edges[0], found.edges[-1]) == (-8, 0)
    assert found.silent == 2
    assert sum(found.counts) == 6
    for value in (0.5, 0.011, 0.009, 1e-3):
        (place,) = [i for i, low in enumerate(found.edges[:-1]) if low <= math.log10(value) + 1e-9 < found.edges[i + 1]]
        assert found.counts[place] > 0
    assert found.counts[-1] == 1  # a latent that is always active
    assert found.counts[0] == 1  # one that is rarer than the first bin


def slow_cosines(rows: torch.Tensor, others: torch.Tensor | None) -> list[float]:
    found = []
    for i, row in enumerate(rows):
        among = [r for j, r in enumerate(rows) if j != i] if others is None else list(others)
        products = [float(row @ r) / max(float(row.norm() * r.norm()), 1e-12) for r in among]
        found.append(max(products))
    return found


@pytest.mark.parametrize("block", [2**24, 40])
def test_nearest_cosines_equal_the_slow_search(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sae.evaluate, "_BLOCK", block)
    rows, others = vectors(12) - 30, 3 * (vectors(9, seed=1) - 30)
    rows[4] = 0
    rows[7] = 2 * rows[3]
    others[5] = -rows[1]
    assert nearest_cosines(rows, others).tolist() == pytest.approx(slow_cosines(rows, others), abs=1e-6)
    own = nearest_cosines(rows)
    assert own.tolist() == pytest.approx(slow_cosines(rows, None), abs=1e-6)
    assert float(own[3]) == pytest.approx(1, abs=1e-6)
    summary = summary_of(own)
    assert summary.mean == pytest.approx(sum(own.tolist()) / 12)
    assert summary.above_09 == pytest.approx(2 / 12)


def test_cosines_above_a_bound_are_counted_as_shares() -> None:
    nearest = torch.tensor([-0.95, 0.1, 0.6, 0.69, 0.71, 0.8, 0.89, 0.91, 0.99, 1.0])
    found = summary_of(nearest)
    assert (found.above_07, found.above_09) == pytest.approx((0.6, 0.3))
    assert found.mean == pytest.approx(0.574)


def test_a_single_latent_has_no_other() -> None:
    with pytest.raises(SaeError, match="one latent"):
        nearest_cosines(torch.ones(1, 4))
    assert nearest_cosines(torch.ones(1, 4), torch.ones(1, 4)).tolist() == pytest.approx([1.0])
