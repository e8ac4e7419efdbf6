"""What one test's server taught is not known to the next that gets its port."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autointerp.llm.capabilities import Capabilities, recall, remember
from tests.llm.doubles import serve


def test_what_was_remembered_of_a_server_ends_with_it(own_cache: Path) -> None:
    with serve() as server:
        found = Capabilities(f"openai {server.url}", "m", json_schema=True)
        other = replace(found, endpoint=f"openai {server.url.replace('/v1', '0/v1')}", model="other port")
        remember(found)
        remember(other)
        assert recall(found.endpoint, "m") == found
    assert recall(found.endpoint, "m") is None
    assert recall(other.endpoint, "other port") == other
