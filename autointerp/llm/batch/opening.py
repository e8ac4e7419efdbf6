"""From a study's `[llm.NAME]` to its batch interface. A provider is one file and one line here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import BadInput
from autointerp.llm.batch.asker import BatchAsker
from autointerp.llm.batch.interface import BatchApi, Limits
from autointerp.llm.batch.store import BatchStore
from autointerp.llm.budget.purse import Purse
from autointerp.llm.ledger.ledger import Ledger
from autointerp.study import Llm


def _openai(llm: Llm) -> BatchApi:
    from autointerp.llm.openai.batches import OpenAIBatches

    return OpenAIBatches(llm)


def _anthropic(llm: Llm) -> BatchApi:
    from autointerp.llm.anthropic.batches import AnthropicBatches

    return AnthropicBatches(llm)


_PROVIDERS: Mapping[str, Callable[[Llm], BatchApi]] = {"anthropic": _anthropic, "openai": _openai}
"""Name in the study -> how to open it. The SDKs are imported only by who asks for them."""


def check_batch(llm: Llm) -> None:
    """Raise BadInput for a provider without a batch interface."""
    if llm.provider not in _PROVIDERS:
        raise BadInput(
            f"provider '{llm.provider}' has no batch interface",
            f"run without --batch, or use one that has: {', '.join(_PROVIDERS)}",
        )


@contextmanager
def open_batches(
    llm: Llm,
    ledger: Ledger,
    path: Path,
    purse: Purse,
    *,
    limits: Limits | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[BatchAsker]:
    """Open the batch interface of an endpoint; `path`: the file of the run's open batches, one process at a time.

    `purse`: with the batch interfaces' discount. Raises BadInput as `check_batch` does, for a missing key, and while
    another process waits for the run's batches. Nothing is sent yet.
    """
    check_batch(llm)
    api = _PROVIDERS[llm.provider](llm)
    try:
        store = BatchStore(path)
        try:
            yield BatchAsker(
                api,
                ledger,
                store,
                purse,
                attempts=llm.attempts,
                reasks=llm.reasks,
                limits=limits,
                sleep=sleep or time.sleep,
            )
        finally:
            store.close()
    finally:
        api.close()
