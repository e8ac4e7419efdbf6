"""Shared set-up: no hub, no network, two threads, and a cache of converted models kept between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shapes import check_shapes_alone

check_shapes_alone()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # as many workers as cores: threads would only get in each other's way


SLOW = Path(__file__).parent / "slow.txt"
"""Tests that were measured to take long, a line each: `make unit` leaves them out, `make slow` measures anew."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of that list, whatever their parameters, as slow."""
    listed = set(SLOW.read_text("utf8").split())
    for item in items:
        if item.nodeid.partition("[")[0] in listed:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Where models and matrices are so tiny that a second thread only costs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for what is found out about endpoints and for converted models."""
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
