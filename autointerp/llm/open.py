"""From a study's `[llm.NAME]` to something that can be asked. A provider is one file and one line here."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from autointerp.errors import BadInput, nearest
from autointerp.llm.address import address, identity
from autointerp.llm.batch.asker import BatchAsker
from autointerp.llm.batch.interface import BatchApi, Limits
from autointerp.llm.batch.store import BatchStore
from autointerp.llm.budget.account import Counted, Usage
from autointerp.llm.budget.prices import BATCH_DISCOUNT
from autointerp.llm.budget.purse import Purse
from autointerp.llm.client import Asker, Provider
from autointerp.llm.ledger.ledger import Ledger
from autointerp.study import Llm

LOCAL = "local"
"""The provider that is no endpoint: a model in this process."""
CHATS_ONLY = frozenset({"anthropic"})
"""Providers that continue no text."""
GROUP = "autointerp.providers"
"""The entry-point group in which other packages register theirs: a function from Llm to Provider."""
_WINDOW_PER_SLOT = 4
"""More requests under way than slots: one that waits for its next try must not keep a slot empty."""


@dataclass(frozen=True)
class Mode:
    """How a run asks."""

    replay: bool = False
    """No provider at all: the ledger answers, or there is an error."""
    batches: Path | None = None
    """Through the provider's batch interface (half the price, within a day), what was handed in kept in this file."""


def _openai(llm: Llm) -> Provider:
    from autointerp.llm.openai.provider import OpenAIProvider

    return OpenAIProvider(llm)


def _anthropic(llm: Llm) -> Provider:
    from autointerp.llm.anthropic.provider import AnthropicProvider

    return AnthropicProvider(llm)


_ENDPOINTS: Mapping[str, Callable[[Llm], Provider]] = {"openai": _openai, "anthropic": _anthropic}
"""Name in the study -> how to open it. The SDKs are imported only by who asks for them."""


def _maker(llm: Llm) -> Callable[[Llm], Provider]:
    if llm.provider in _ENDPOINTS:
        return _ENDPOINTS[llm.provider]
    found = {point.name: point for point in entry_points(group=GROUP)}
    if llm.provider not in found:
        raise BadInput(f"no provider '{llm.provider}'", nearest(llm.provider, [LOCAL, *_ENDPOINTS, *found]))
    try:
        loaded: Callable[[Llm], Provider] = found[llm.provider].load()
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"provider '{llm.provider}' can't be imported ({error})", "mend or remove the package"
        ) from error
    return loaded


def check_llm(llm: Llm) -> None:
    """Raise BadInput for what can be known without a call: an unknown provider, a missing key, no address."""
    if llm.provider != LOCAL:
        _maker(llm)
    if llm.provider in _ENDPOINTS:
        address(llm)


def open_provider(llm: Llm) -> Provider:
    """The endpoint's client: one attempt per request, no wrapper. BadInput as in `check_llm`, and for `local`."""
    if llm.provider == LOCAL:
        raise BadInput("provider 'local' is no endpoint", f"use one of {', '.join(sorted(_ENDPOINTS))}")
    check_llm(llm)
    return _maker(llm)(llm)


def identity_of(llm: Llm) -> str:
    """What the ledger calls the provider: no key is needed, no model is loaded, nothing is sent."""
    if llm.provider == LOCAL:
        from autointerp.models.locate import locate

        return f"local {locate(llm.model, None).identity}"
    if llm.provider in _ENDPOINTS:
        return identity(llm)
    return _maker(llm)(llm).identity


@contextmanager
def open_asker(llm: Llm, ledger: Ledger, usage: Usage, stage: str, mode: Mode = Mode()) -> Iterator[Counted]:
    """Open the provider that `llm` names; its answers go through `ledger`, and are paid for and counted for `stage`."""
    if mode.replay:
        from autointerp.llm.ledger.replaying import ReplayAsker

        yield Counted(ReplayAsker(ledger, identity_of(llm), llm.reasks), usage, stage, llm, charged=True)
    elif llm.provider == LOCAL:
        from autointerp.llm.local.model import LocalAsker, LocalModel
        from autointerp.models import load_model

        asker = LocalAsker(LocalModel(load_model(llm.model), llm.batch), ledger, llm.reasks)
        yield Counted(asker, usage, stage, llm, charged=False)
    elif mode.batches is not None:
        with open_batches(llm, ledger, mode.batches, Purse(usage, stage, llm, BATCH_DISCOUNT)) as batches:
            yield Counted(batches, usage, stage, llm, charged=True)
    else:
        with _online(llm, ledger, usage, stage) as online:
            yield Counted(online, usage, stage, llm, charged=True)


@contextmanager
def _online(llm: Llm, ledger: Ledger, usage: Usage, stage: str) -> Iterator[Asker]:
    from autointerp.llm.budget.purse import Budgeted, Purse
    from autointerp.llm.ledger.recorded import Recorded
    from autointerp.llm.online.asker import AsyncAsker
    from autointerp.llm.online.retrying import Retrying
    from autointerp.llm.online.slots import Limited

    purse = Purse(usage, stage, llm)
    provider = open_provider(llm)
    paid = Budgeted(Limited(provider, llm.concurrency), purse)
    client = Recorded(Retrying(paid, llm.attempts, provider.identity), ledger, provider.identity)

    async def wind_down() -> None:
        await client.aclose()
        await paid.aclose()
        await provider.aclose()

    asker = AsyncAsker(client, provider.identity, llm.concurrency * _WINDOW_PER_SLOT, llm.reasks, wind_down)
    # What is there now stays: a collection of garbage that looks at all of it (torch, transformers) holds up every
    # request that is under way by a tenth of a second.
    gc.freeze()
    try:
        yield asker
    finally:
        asker.close()
        gc.unfreeze()


def _openai_batches(llm: Llm) -> BatchApi:
    from autointerp.llm.openai.batches import OpenAIBatches

    return OpenAIBatches(llm)


def _anthropic_batches(llm: Llm) -> BatchApi:
    from autointerp.llm.anthropic.batches import AnthropicBatches

    return AnthropicBatches(llm)


_BATCHES: Mapping[str, Callable[[Llm], BatchApi]] = {"anthropic": _anthropic_batches, "openai": _openai_batches}
"""Name in the study -> how to open it. The SDKs are imported only by who asks for them."""


def check_batch(llm: Llm) -> None:
    """Raise BadInput for a provider without a batch interface."""
    if llm.provider not in _BATCHES:
        raise BadInput(
            f"provider '{llm.provider}' has no batch interface",
            f"run without --batch, or use one that has: {', '.join(_BATCHES)}",
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
    api = _BATCHES[llm.provider](llm)
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
