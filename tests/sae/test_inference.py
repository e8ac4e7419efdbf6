"""What holds for every architecture in use."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sae.base import SparseAutoencoder
from sae.checkpoint import load
from tests.sae.test_checkpoint import FIXTURES, NAMES, expected


@pytest.fixture(params=NAMES)
def sae(request: pytest.FixtureRequest) -> SparseAutoencoder:
    return load(FIXTURES / request.param)


def test_each_vector_is_encoded_by_itself(sae: SparseAutoencoder) -> None:
    x = expected()["x"]
    together = sae.encode(torch.cat([x, 100 * x]))[: len(x)]
    assert_close(together, torch.cat([sae.encode(row) for row in x.split(1)]))


def test_chosen_latents_are_columns_of_all(sae: SparseAutoencoder) -> None:
    x, chosen = expected()["x"], torch.tensor([40, 3, 3, 17])
    assert_close(sae.encode_latents(x, chosen), sae.encode(x)[:, chosen])


def test_sparse_and_dense_agree(sae: SparseAutoencoder) -> None:
    x = expected()["x"]
    activations = sae.encode(x)
    assert float(activations.min()) == 0.0
    assert_close(sae.encode_sparse(x).dense(), activations)
    assert_close(sae.reconstruct(x), sae.decode(activations))
    assert_close(sae.decode(activations), activations @ sae.W_dec + sae.b_dec)
    assert (sae.d_in, sae.width) == (16, 48)


def test_moving_keeps_everything(sae: SparseAutoencoder) -> None:
    moved = sae.to("meta")
    assert type(moved) is type(sae)
    assert moved.device.type == "meta"
    assert moved.settings == sae.settings
