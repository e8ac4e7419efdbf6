"""Where an endpoint is: its address, apart from the secrets that the address may carry."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from autointerp.errors import BadInput
from autointerp.llm.secrets import PLACEHOLDER, api_key, public_url
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
    """Read the address and the key. Raises BadInput for a URL that can't be one, and for a missing key."""
    url = _configured(llm)
    key = api_key(llm)
    try:
        parts = urlsplit(url)
        reachable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        reachable = False
    if not reachable or any(not c.isprintable() or c.isspace() for c in url):
        raise BadInput(f"base_url of model '{llm.model}' is no address", "write it like http://127.0.0.1:8000/v1")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    authorization = None
    if user or password:
        if key != PLACEHOLDER:
            raise BadInput(f"model '{llm.model}' has a password in base_url and a key, an endpoint takes one of them",
                           "leave out the password or api_key_env")  # fmt: skip
        authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    secrets = {key, password, parts.password or "", authorization or "", *query.values()}
    return Address(public_url(url), key, query, authorization, frozenset(s for s in secrets if len(s) > _SHORT))


_SHORT = 3
"""A 'secret' of so few characters is none, and blotting it out would garble every message."""


def _configured(llm: Llm) -> str:
    variable, default = _SDK_DEFAULTS.get(llm.provider, ("", ""))
    return llm.base_url or os.environ.get(variable, "") or default
