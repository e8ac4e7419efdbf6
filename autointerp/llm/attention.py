"""Heads that share their keys and values: on a CPU, attention reads them where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ASKED = "TRANSFORMERS_SDPA_FORCE_GQA"
"""Read by transformers in every layer. Without it a mask makes it copy keys and values for each head that shares them,
which for a batch of long prompts takes ten times as long as the attention itself. On a GPU it would choose a slower
kernel."""


@contextmanager
def shared_heads(device: torch.device) -> Iterator[None]:
    """Let the forward passes of the block copy nothing, on a CPU."""
    before = os.environ.get(_ASKED)
    if device.type != "cpu" or before is not None:
        yield
        return
    os.environ[_ASKED] = "1"
    try:
        yield
    finally:
        os.environ.pop(_ASKED, None)  # another thread may have been through here
