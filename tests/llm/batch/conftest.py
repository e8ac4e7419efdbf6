from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llm.batch.standin import KEY, StandIn, stand_in
from tests.llm.batch.workshop import KEY_ENV


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, KEY)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(provider: str) -> Iterator[StandIn]:
    with stand_in(provider) as state:
        yield state


@pytest.fixture
def openai_server() -> Iterator[StandIn]:
    with stand_in("openai") as state:
        yield state


@pytest.fixture
def anthropic_server() -> Iterator[StandIn]:
    with stand_in("anthropic") as state:
        yield state
