"""From a study's `[llm.NAME]` to something that can be asked. A provider is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from autointerp.errors import BadInput, nearest
from autointerp.llm.client import Asker
from autointerp.llm.ledger import Ledger
from autointerp.llm.secrets import api_key
from autointerp.llm.usage import Counted, Usage
from autointerp.study import Llm

_WORKERS_PER_SLOT = 4
"""More workers than slots: a request that waits for its next try must not keep a slot empty."""


@contextmanager
def _open_openai(llm: Llm, ledger: Ledger) -> Iterator[Asker]:
    from autointerp.llm.asking import AsyncAsker
    from autointerp.llm.limited import Limited
    from autointerp.llm.openai_provider import OpenAIProvider
    from autointerp.llm.recorded import Recorded
    from autointerp.llm.retrying import Retrying

    provider = OpenAIProvider(llm)
    client = Recorded(Retrying(Limited(provider, llm.concurrency), llm.attempts), ledger, provider.identity)
    asker = AsyncAsker(client, provider.identity, llm.concurrency * _WORKERS_PER_SLOT, llm.reasks, provider.aclose)
    try:
        yield asker
    finally:
        asker.close()


@contextmanager
def _open_local(llm: Llm, ledger: Ledger) -> Iterator[Asker]:
    from autointerp.llm.local import LocalAsker, LocalModel
    from autointerp.models import load_model

    yield LocalAsker(LocalModel(load_model(llm.model), llm.batch), ledger, llm.reasks)


PROVIDERS: Mapping[str, Callable[[Llm, Ledger], AbstractContextManager[Asker]]] = {
    "local": _open_local,
    "openai": _open_openai,
}
"""Name in the study -> how to open it. The SDKs are imported only by who asks for them."""


def check_llm(llm: Llm) -> None:
    """Raise BadInput for what can be known without a call: an unknown provider, a missing key."""
    if llm.provider not in PROVIDERS:
        raise BadInput(f"no provider '{llm.provider}'", nearest(llm.provider, PROVIDERS))
    if llm.provider == "openai":
        api_key(llm)


@contextmanager
def open_asker(llm: Llm, ledger: Ledger, usage: Usage, stage: str) -> Iterator[Asker]:
    """Open the provider that `llm` names; its answers go through `ledger` and are counted for `stage`."""
    check_llm(llm)
    with PROVIDERS[llm.provider](llm, ledger) as asker:
        yield Counted(asker, usage, stage, llm)
