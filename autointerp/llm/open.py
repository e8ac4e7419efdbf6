"""From a study's `[llm.NAME]` to something that can be asked: one request at a time, in batches, or in this process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autointerp.errors import BadInput
from autointerp.llm.address import address, identity
from autointerp.llm.batch.asker import BatchAsker
from autointerp.llm.batch.interface import BatchApi, Limits
from autointerp.llm.batch.store import BatchStore
from autointerp.llm.budget.account import Counted, Usage
from autointerp.llm.budget.prices import BATCH_DISCOUNT
from autointerp.llm.budget.purse import Purse
from autointerp.llm.client import Asker, Provider
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.providers import LOCAL, PROVIDERS, check_batch, is_built_in, loaded_from, provider_traits
from autointerp.registry import require_members
from autointerp.study_models import Llm

_WINDOW_PER_SLOT = 4
"""More requests under way than slots: one that waits for its next try must not keep a slot empty."""


@dataclass(frozen=True)
class Mode:
    """How a run asks."""

    replay: bool = False
    """No provider at all: the ledger answers, or there is an error."""
    batches: Path | None = None
    """Through the provider's batch interface (half the price, within a day), what was handed in kept in this file."""
    device: str = "auto"
    """Where a model in this process runs, as in `load_model`: a run has all its models on its subject's device."""
    side_by_side: int = 1
    """How many processes ask endpoints at a time: each of them has its part of `concurrency`."""


def check_llm(llm: Llm) -> None:
    """Raise BadInput for what can be known without a call: an unknown provider, a missing key, no address."""
    if llm.provider != LOCAL:
        PROVIDERS.find(llm.provider)
    if is_built_in(llm):
        address(llm)


def open_provider(llm: Llm) -> Provider:
    """The endpoint's client: one attempt per request, no wrapper. BadInput as in `check_llm`, and for `local`."""
    if llm.provider == LOCAL:
        raise BadInput("provider 'local' is no endpoint", f"use one of {', '.join(sorted(PROVIDERS.names()))}")
    check_llm(llm)
    provider: Provider = PROVIDERS.find(llm.provider)(llm)
    require_members(provider, Provider, f"provider '{llm.provider}'")
    return provider


def identity_of(llm: Llm) -> str:
    """What the ledger calls the provider: no key is needed, no model is loaded, nothing is sent."""
    if llm.provider == LOCAL:
        from autointerp.llm.local.model import named
        from autointerp.models.locate import locate

        return named(locate(llm.model, None).identity, llm.dtype)
    if is_built_in(llm):
        return identity(llm)
    return open_provider(llm).identity


@contextmanager
def open_asker(llm: Llm, ledger: Ledger, usage: Usage, stage: str, mode: Mode = Mode()) -> Iterator[Counted]:
    """Open the provider that `llm` names; its answers go through `ledger`, and are paid for and counted for `stage`."""
    if mode.replay:
        from autointerp.llm.ledger.replaying import ReplayAsker

        yield Counted(ReplayAsker(ledger, identity_of(llm), llm.reasks), usage, stage, llm, charged=True)
    elif llm.provider == LOCAL:
        from autointerp.llm.local.model import LocalAsker, LocalModel
        from autointerp.models import load_asked

        loaded = load_asked(llm.model, device=mode.device, dtype=llm.dtype)
        asker = LocalAsker(LocalModel(loaded, llm.batch), ledger, llm.reasks)
        yield Counted(asker, usage, stage, llm, charged=False)
    elif mode.batches is not None:
        with open_batches(llm, ledger, mode.batches, Purse(usage, stage, llm, BATCH_DISCOUNT)) as batches:
            yield Counted(batches, usage, stage, llm, charged=True)
    else:
        with _online(llm, ledger, usage, stage, mode.side_by_side) as online:
            yield Counted(online, usage, stage, llm, charged=True)


@contextmanager
def _online(llm: Llm, ledger: Ledger, usage: Usage, stage: str, side_by_side: int) -> Iterator[Asker]:
    from autointerp.llm.budget.purse import Budgeted
    from autointerp.llm.ledger.recorded import Recorded
    from autointerp.llm.online.asker import AsyncAsker
    from autointerp.llm.online.retrying import Retrying
    from autointerp.llm.online.slots import Limited

    purse = Purse(usage, stage, llm)
    provider = open_provider(llm)
    slots = max(1, llm.concurrency // side_by_side)
    paid = Budgeted(Limited(provider, slots, provider.takes_turns), purse)
    client = Recorded(Retrying(paid, llm.attempts, provider.identity), ledger, provider.identity)

    async def wind_down() -> None:
        await client.aclose()
        await paid.aclose()
        await provider.aclose()

    asker = AsyncAsker(client, provider.identity, slots * _WINDOW_PER_SLOT, llm.reasks, wind_down)
    # What is there now stays: a collection of garbage that looks at all of it (torch, transformers) holds up every
    # request that is under way by a tenth of a second.
    gc.freeze()
    try:
        yield asker
    finally:
        asker.close()
        gc.unfreeze()


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
    api: BatchApi = loaded_from(provider_traits(llm).batches or "")(llm)
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
