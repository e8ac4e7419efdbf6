"""Where an endpoint is: its address, apart from the secrets that the address may carry."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from autointerp.errors import BadInput
from autointerp.llm.logs import hide_in_logs
from autointerp.llm.secrets import PLACEHOLDER, api_key, http_parts, public_url
from autointerp.study import Llm

_SDK_DEFAULTS: Mapping[str, tuple[str, str]] = {
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "anthropic": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
}
"""Per provider: the variable that its SDK reads, and the address without it."""


@dataclass(frozen=True)
class Address:
    """One endpoint, and all that a client needs to reach it."""

    url: str
    """Scheme, host and path: safe to show."""
    key: str = field(repr=False)
    """The API key, or a placeholder."""
    query: Mapping[str, str] = field(repr=False)
    """Parameters of the configured URL, to be sent with every request."""
    authorization: str | None = field(repr=False)
    """Header for the user and password of the configured URL; None without them."""
    secrets: frozenset[str] = field(repr=False)
    """What must never be shown."""


def identity(llm: Llm) -> str:
    """Provider and endpoint, without secrets: part of every ledger key. Needs no key and no SDK."""
    return f"{llm.provider} {public_url(_configured(llm))}"


def address(llm: Llm) -> Address:
    """Read the address and the key, which no log of the SDKs shows from then on.

    Raises BadInput for a URL that can't be one (its text may hold a password, and is not shown), and for a missing
    key.
    """
    url = _configured(llm)
    key = api_key(llm)
    parts = http_parts(url)
    if parts is None:
        raise BadInput(f"base_url of model '{llm.model}' is no address", "write it like http://127.0.0.1:8000/v1")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    basic = ""
    if user or password:
        if key != PLACEHOLDER:
            raise BadInput(f"model '{llm.model}' has a password in base_url and a key, an endpoint takes one of them",
                           "leave out the password or api_key_env")  # fmt: skip
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secrets = frozenset(
        s for s in (key, password, basic, *(value or name for name, value in query.items())) if len(s) > _SHORT
    )
    hide_in_logs(secrets)
    return Address(public_url(url), key, query, f"Basic {basic}" if basic else None, secrets)


_SHORT = 3
"""A 'secret' of so few characters is none, and blotting it out would garble every message."""


def _configured(llm: Llm) -> str:
    variable, default = _SDK_DEFAULTS.get(llm.provider, ("", ""))
    return llm.base_url or os.environ.get(variable, "") or default
