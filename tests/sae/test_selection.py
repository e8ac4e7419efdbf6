"""Which latents are active in training, against sorting everything."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable

import pytest
import torch
from torch.testing import assert_close

from sae.architectures import largest
from sae.architectures.batchtopk import BatchTopK
from sae.architectures.largest import largest_of_batch, largest_per_vector
from sae.architectures.topk import TopK
from sae.codes import compiled
from sae.codes.sparse import SparseCode
from sae.errors import SaeError
from sae.parallel import Peers
from sae.recipe import Recipe
from tests.sae.forwards import forward_with

ALONE = Peers()


@pytest.fixture(params=["compiled", "torch"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of doing it: the processor's, and the one of all other devices."""
    if request.param == "torch":
        monkeypatch.setattr(largest, "_compiled", lambda tensor: False)
    return str(request.param)


def random(vectors: int, width: int, shift: float = 0.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(vectors * width)
    return (torch.randn(vectors, width, generator=generator, dtype=torch.float64) + shift).to(dtype)


def of(pre: torch.Tensor, bias: torch.Tensor, pieces: int = 3) -> Callable[[], Iterable[torch.Tensor]]:
    """The products of pre-activations, in pieces that each overwrite the one before."""

    def blocks() -> Iterable[torch.Tensor]:
        room = torch.empty_like(pre)
        for part in (pre - bias).tensor_split(pieces):
            yield room[: part.shape[0]].copy_(part)

    return blocks


def by_sorting(pre: torch.Tensor, count: int) -> torch.Tensor:
    flat = sorted((float(value) for value in pre.reshape(-1)), reverse=True)
    last = flat[min(count, len(flat)) - 1]
    return torch.where((pre >= last) & (pre > 0), pre, 0.0)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize("count", [1, 7, 60, 1999, 2000])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("width", [40, 47])
def test_largest_of_a_batch_equal_sorting(count: int, shift: float, width: int) -> None:
    pre = random(50, width, shift)
    bias = torch.zeros(width)
    expected = by_sorting(pre, count)
    active = expected[expected > 0]
    near = 0.95 * float(active.min()) if active.shape[0] else 0.1
    for guess in (0.0, float(pre.max()), float(pre.median()), near):
        code = largest_of_batch(of(pre, bias), bias, count, 50, ALONE, guess)
        assert torch.equal(code.dense(), expected), guess
        assert code.latents.shape[0] == active.shape[0]


@pytest.mark.usefixtures("kind")
def test_biases_are_added() -> None:
    pre, bias = random(50, 40), torch.linspace(-1, 1, 40)
    pre = (pre - bias) + bias  # as precise as that sum
    assert_close(largest_of_batch(of(pre, bias), bias, 100, 50, ALONE).dense(), by_sorting(pre, 100), rtol=0, atol=0)


@pytest.mark.usefixtures("kind")
def test_a_misleading_sample_costs_time_only() -> None:
    flat = torch.rand(6100, generator=torch.Generator().manual_seed(0))
    flat[::61] += 10  # what is sampled is far above the rest
    pre, bias = flat.view(100, 61), torch.zeros(61)
    assert torch.equal(largest_of_batch(of(pre, bias, 1), bias, 500, 100, ALONE).dense(), by_sorting(pre, 500))


@pytest.mark.usefixtures("kind")
def test_ties_at_the_threshold_are_all_kept() -> None:
    pre, bias = torch.tensor([[1.0, 2.0, 2.0], [2.0, 3.0, 0.0]]), torch.zeros(3)
    assert largest_of_batch(of(pre, bias), bias, 2, 2, ALONE).dense().tolist() == [[0.0, 2.0, 2.0], [2.0, 3.0, 0.0]]


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize(("width", "k"), [(40, 1), (40, 5), (47, 3), (47, 46), (47, 47), (5, 2), (300, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_largest_per_vector_equal_sorting(width: int, k: int, dtype: torch.dtype) -> None:
    pre, bias = random(31, width, 0.3, dtype), torch.zeros(width, dtype=dtype)
    code = largest_per_vector(of(pre, bias)(), bias, k)
    expected = torch.zeros_like(pre)
    for row, values in enumerate(pre):
        for latent in values.argsort(descending=True)[:k]:
            expected[row, latent] = max(float(values[latent]), 0.0)
    assert torch.equal(code.dense(), expected)
    assert code.starts.tolist() == list(range(0, 31 * k + 1, k))
    assert all(len(set(row.tolist())) == k for row in code.latents.view(31, k)), "no latent comes twice"


@pytest.mark.usefixtures("kind")
def test_of_equal_entries_exactly_k_are_taken() -> None:
    pre = torch.tensor([[1.0] * 30, [0.0] * 29 + [1.0], [2.0, 1.0] * 15])
    code = largest_per_vector(of(pre, torch.zeros(30))(), torch.zeros(30), 4)
    assert code.dense().sum(dim=1).tolist() == [4.0, 1.0, 8.0]
    assert all(len(set(row.tolist())) == 4 for row in code.latents.view(3, 4))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_made_of_numbers_gives_places_that_exist(broken: float) -> None:
    pre = random(3, 50)
    pre[1] = broken
    latents, values = compiled.largest_per_row(pre, torch.zeros(50), 7)
    assert int(latents.min()) >= 0
    assert int(latents.max()) < 50
    assert len(set(latents[1].tolist())) == 7
    assert_close(values[1], torch.full((7,), broken), equal_nan=True)
    assert_close(values[[0, 2]].sort().values, pre[[0, 2]].topk(7, dim=1).values.flip(1))


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pre, bias = random(97, 60), torch.linspace(-1, 1, 60)
    one = compiled.entries_above(pre, bias, 1.2, 2.0), compiled.largest_per_row(pre, bias, 6)
    monkeypatch.setattr(compiled, "_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10)
    five = compiled.entries_above(pre, bias, 1.2, 2.0), compiled.largest_per_row(pre, bias, 6)
    for alone, together in zip((*one[0], *one[1]), (*five[0], *five[1]), strict=True):
        assert torch.equal(alone, together)


@pytest.mark.parametrize("openmp", [True, False])
def test_parts_come_back_in_order_and_what_the_first_of_them_raised_is_raised(
    openmp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if openmp and compiled._gnu_openmp() is None:
        pytest.skip("torch is not built with GNU OpenMP here")
    if not openmp:
        monkeypatch.setattr(compiled, "_gnu_openmp", lambda: None)
    ran: set[int] = set()

    def part(number: int) -> int:
        ran.add(threading.get_ident())
        time.sleep(0.05)
        if number % 3 == 2:
            raise ArithmeticError(f"part {number}")
        return number * number

    assert compiled.on_threads(part, 2) == [0, 1]
    assert len(ran) == 2
    with pytest.raises(ArithmeticError, match="part 2"):
        compiled.on_threads(part, 6)
    assert compiled.on_threads(part, 1) == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    pre = random(20, 16)
    compiled.largest_per_row(pre, torch.zeros(16), 3)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # threads that are not there would be waited for without end
        latents, _ = compiled.largest_per_row(pre, torch.zeros(16), 3)
        os._exit(0 if latents.shape == (20, 3) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_more_entries_than_expected_cost_time_only() -> None:
    pre = random(64, 24)
    entries = compiled.entries_above(pre, torch.zeros(24), -100.0, 0.0)
    assert torch.equal(entries.values.view(64, 24).sort().values, pre.sort().values)


def test_entries_are_sorted_by_latent() -> None:
    code = SparseCode.of_dense(random(30, 20, -0.5).relu())
    order, bounds, vectors = compiled.sorted_by_latent(code.starts, code.latents, 20)
    expected = torch.argsort(code.latents, stable=True)
    assert torch.equal(order.long(), expected)
    assert torch.equal(vectors, code.rows[expected])
    assert torch.equal(bounds.diff().long(), torch.bincount(code.latents, minlength=20))


def test_batchtopk_spends_latents_where_they_are_large() -> None:
    forward = forward_with(torch.tensor([[5.0, 4.0, 3.0, -1.0], [0.75, 0.25, -2.0, 0.125]]))
    architecture = BatchTopK(Recipe(width=4, k=2))
    code = architecture.select(forward)
    assert code.dense().tolist() == [[5.0, 4.0, 3.0, 0.0], [0.75, 0.0, 0.0, 0.0]]
    assert architecture.threshold == pytest.approx(0.75)


def test_threshold_follows_recent_batches() -> None:
    architecture = BatchTopK(Recipe(width=3, k=1))
    architecture.select(forward_with(torch.tensor([[1.0, 0.0, 0.0]])))
    for _ in range(1000):
        architecture.select(forward_with(torch.tensor([[3.0, 0.0, 0.0]])))
    assert architecture.threshold == pytest.approx(3.0, abs=1e-3)


def test_threshold_needs_an_active_latent() -> None:
    architecture = BatchTopK(Recipe(width=3, k=1))
    assert architecture.select(forward_with(-torch.ones(2, 3))).latents.shape == (0,)
    with pytest.raises(SaeError, match="no latent has been active"):
        _ = architecture.threshold


def test_topk_takes_k_of_each_vector() -> None:
    pre = torch.tensor([[5.0, 4.0, 3.0, -1.0], [-0.5, 0.25, -2.0, -0.125]])
    topk = TopK(Recipe("topk", width=4, k=2))
    assert topk.select(forward_with(pre)).dense().tolist() == [[5.0, 4.0, 0.0, 0.0], [0.0, 0.25, 0.0, 0.0]]
