"""The model libraries kept quiet while they load, and their errors kept short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors import SafetensorError
from transformers.utils import logging

UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    ImportError,
    NotImplementedError,
    SafetensorError,
)
"""What transformers raises for files that it can't make a model or a tokenizer of."""


@contextmanager
def quiet() -> Iterator[None]:
    """No chatter nor loading bars of transformers; the hub's download bars stay as they were."""
    chatter: Any = logging
    hub: Any = hub_logging
    level, hub_level = chatter.get_verbosity(), hub.get_verbosity()
    bar, hub_bar = chatter.is_progress_bar_enabled(), not are_progress_bars_disabled()
    chatter.set_verbosity_error()
    hub.set_verbosity_error()
    chatter.disable_progress_bar()
    if hub_bar:
        enable_progress_bars()
    try:
        yield
    finally:
        chatter.set_verbosity(level)
        hub.set_verbosity(hub_level)
        if bar:
            chatter.enable_progress_bar()
        if not hub_bar:
            disable_progress_bars()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters; its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
