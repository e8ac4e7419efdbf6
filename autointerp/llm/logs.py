"""What the SDKs and their transports log: whole addresses, from level INFO down. No secret may be among it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from autointerp.llm.secrets import without

_PACKAGES = ("autointerp", "httpx2", "httpcore2", "openai", "anthropic", "aiohttp")
_MADE_LATER = ("connection", "http11", "http2", "socks", "proxy")
"""Loggers of httpcore2, which is imported with the first connection."""
_FORMATTER = logging.Formatter()


class _Blotter(logging.Filter):
    """Lets every record through, without the secrets that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        blotted = without(message, self.secrets)
        if blotted != message:
            record.msg, record.args = blotted, ()
        if record.exc_info:
            trace = _FORMATTER.formatException(record.exc_info)
            if (blotted := without(trace, self.secrets)) != trace:
                record.exc_text, record.exc_info = blotted, None  # a handler would format the exception anew
        return True


_BLOTTER = _Blotter()
"""One for the process, as the loggers are."""


def hide_in_logs(secrets: Collection[str]) -> None:
    """Blot `secrets` out of all that the loggers of HTTP clients and SDKs write from now on.

    A filter sees only what is logged by its own logger, not what a child hands up: each logger gets it.
    """
    _BLOTTER.secrets |= frozenset(secrets)
    existing = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _PACKAGES]
    for name in {*_PACKAGES, *existing, *(f"httpcore2.{part}" for part in _MADE_LATER)}:
        logging.getLogger(name).addFilter(_BLOTTER)
