"""What a provider is, in one record each. A new one is a folder and a record; third parties use the entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from autointerp.errors import BadInput
from autointerp.registry import Registry, declared
from autointerp.study_models import Llm

LOCAL = "local"
"""The provider that is no endpoint: a model in this process."""


@dataclass(frozen=True)
class ProviderTraits:
    """What has to be known of a provider before it is opened: the attribute `traits` of what opens it."""

    key_env: str | None = None
    """The variable that holds the key, where the study names neither a variable nor an endpoint."""
    url_env: str | None = None
    """The variable that holds the address, where the study names none."""
    url: str = ""
    """The address without either."""
    chats_only: bool = False
    """It continues no text."""
    logprobs: bool = True
    """Whether one of its endpoints may give log-probabilities; where none can, no probe is needed to know."""
    charges_cache_writes: bool = False
    """Tokens that it puts in its prompt cache cost more than others."""
    batches: str | None = None
    """What opens its batch interface, as `module:name`: called with an Llm, it gives a BatchApi. None: it has none."""


class BuiltInProvider:
    """Opens a provider of this package. Its SDK is imported only then."""

    def __init__(self, opens: str, traits: ProviderTraits) -> None:
        """`opens`: the class, as `module:name`."""
        self._opens, self.traits = opens, traits

    def __call__(self, llm: Llm) -> Any:
        """The Provider of this section of the study."""
        return loaded_from(self._opens)(llm)


def loaded_from(target: str) -> Any:
    """What `module:name` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


_BUILT_IN: Mapping[str, Any] = {
    "openai": BuiltInProvider(
        "autointerp.llm.openai.provider:OpenAIProvider",
        ProviderTraits(
            key_env="OPENAI_API_KEY",
            url_env="OPENAI_BASE_URL",
            url="https://api.openai.com/v1",
            batches="autointerp.llm.openai.batches:OpenAIBatches",
        ),
    ),
    "anthropic": BuiltInProvider(
        "autointerp.llm.anthropic.provider:AnthropicProvider",
        ProviderTraits(
            key_env="ANTHROPIC_API_KEY",
            url_env="ANTHROPIC_BASE_URL",
            url="https://api.anthropic.com",
            chats_only=True,
            logprobs=False,
            charges_cache_writes=True,
            batches="autointerp.llm.anthropic.batches:AnthropicBatches",
        ),
    ),
}

PROVIDERS: Registry[Any] = Registry("provider", "autointerp.providers", _BUILT_IN, others=[LOCAL])
"""Name in the study -> what opens it: a callable from Llm to Provider, with its traits as an attribute."""


def is_built_in(llm: Llm) -> bool:
    """Whether the provider is one of this package, so that its address and key are read as the study says."""
    return llm.provider in _BUILT_IN


def provider_traits(llm: Llm) -> ProviderTraits:
    """The facts about the provider that a section of the study names; BadInput when there is no such provider."""
    if llm.provider == LOCAL:
        return ProviderTraits()
    return declared(PROVIDERS.find(llm.provider), "traits", ProviderTraits, ProviderTraits())


def check_batch(llm: Llm) -> None:
    """Raise BadInput for a provider without a batch interface."""
    if provider_traits(llm).batches is None:
        with_batches = [name for name, opener in _BUILT_IN.items() if opener.traits.batches]
        raise BadInput(
            f"provider '{llm.provider}' has no batch interface",
            f"run without --batch, or use one that has: {', '.join(sorted(with_batches))}",
        )
