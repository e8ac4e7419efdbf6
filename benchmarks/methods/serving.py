"""The one server that everybody asks: the example echo server, in a process of its own, which counts tokens."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.environments import Unavailable

_SCRIPT = Path(__file__).parents[2] / "examples" / "echo_server.py"


@dataclass(frozen=True)
class Served:
    """What the server has answered."""

    requests: int
    prompt_tokens: int
    completion_tokens: int

    def since(self, before: Served) -> Served:
        """What came after `before`."""
        return Served(
            self.requests - before.requests,
            self.prompt_tokens - before.prompt_tokens,
            self.completion_tokens - before.completion_tokens,
        )


@contextmanager
def echo_server(model: str) -> Iterator[str]:
    """A server on a model (what `load_model` takes), until the block ends; yields its base URL. Raises Unavailable."""
    command = [sys.executable, str(_SCRIPT), "--model", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise Unavailable("the echo server did not start")
            yield url
        finally:
            process.terminate()


def served(url: str) -> Served:
    """What the server at a base URL has answered since it started."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url.removesuffix("/v1") + "/served", timeout=600) as answer:
        return Served(**json.load(answer))
