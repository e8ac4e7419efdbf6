"""Figures in one pass, against the plain formulas over all vectors at once."""

from __future__ import annotations

import pytest
import torch

from sae.checkpoint import load
from sae.errors import SaeError
from sae.evaluate import evaluate
from tests.sae.test_checkpoint import FIXTURES, NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_streaming_equals_plain(name: str, size: int) -> None:
    sae = load(FIXTURES / name)
    x = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)) + 30
    activations = sae.encode(x).double()
    left = (x - sae.decode(sae.encode(x))).double().square().sum()
    total = (x - x.mean(0)).double().square().sum()
    found = evaluate(sae, iter(x.split(size)))
    assert found.vectors == 40
    assert found.l0 == pytest.approx(float((activations > 0).sum(1).double().mean()))
    assert found.explained_variance == pytest.approx(float(1 - left / total), rel=1e-4)
    assert found.dead_share == pytest.approx(float((activations.max(0).values == 0).double().mean()))
    assert found.density.tolist() == pytest.approx((activations > 0).double().mean(0).tolist())


@pytest.mark.parametrize("vectors", [torch.zeros(0, 16), torch.ones(5, 16)])
def test_vectors_without_spread_are_named(vectors: torch.Tensor) -> None:
    with pytest.raises(SaeError, match="without any spread"):
        evaluate(load(FIXTURES / "topk"), [vectors])
