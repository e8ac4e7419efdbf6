"""Servers are on loopback, without encryption."""

from __future__ import annotations

import ssl

import pytest


@pytest.fixture(autouse=True)
def _plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """No certificate is needed here, and reading them takes most of the time that a client takes to be made."""
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *args, **more: None)
