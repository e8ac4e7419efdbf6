"""Shared set-up: no hub, no network, two threads, and a cache of converted models kept between runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.shapes import a_test_begins, check_shapes_alone

check_shapes_alone()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # as many workers as cores: threads would only get in each other's way

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does that to what it starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else no process of a test's could be interrupted


SLOW = Path(__file__).parent / "slow.txt"
"""Tests that were measured to take long, a line each: `make unit` leaves them out, `make slow` measures anew."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of that list, whatever their parameters, as slow."""
    listed = set(SLOW.read_text("utf8").split())
    for item in items:
        if item.nodeid.partition("[")[0] in listed:
            item.add_marker(pytest.mark.slow)


_MADE: dict[str, float] = {}
"""Seconds of each fixture that tests of a file share, by name: of those that no test has told of yet."""


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Measure what a shared fixture takes, for `make slow`: it is not only its first test's."""
    began = time.perf_counter()
    value = yield
    if request.scope == "module":
        _MADE[fixturedef.argname] = time.perf_counter() - began
    return value


def pytest_runtest_setup() -> None:
    """Shapes are checked in the first calls of each test."""
    a_test_begins()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Function) -> None:
    """Tell in the report (`--junitxml`) which fixtures a test uses, and what those took that were made for it."""
    item.user_properties.append(("uses", " ".join(item.fixturenames)))
    item.user_properties += [(f"made {name}", f"{seconds:.3f}") for name, seconds in _MADE.items()]
    _MADE.clear()


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
