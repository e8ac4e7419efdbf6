"""A real server, llama.cpp, on loopback, with the offline model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autointerp.models.locate import builtin_file


@contextmanager
def llama(context: int = 1024) -> Iterator[str]:
    """The address of a server with one slot of `context` tokens; skips the test where its package is missing.

    One thread: more of them, on cores that another test keeps busy, wait for each other at every layer.
    """
    package = pytest.importorskip("xllamacpp")
    parameters = package.CommonParams()
    parameters.model.path = str(builtin_file())
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = context, 1, False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = package.Server(parameters)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # stops it
