"""Keys: read from the environment variable that the study names; never stored, logged or shown."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit, urlunsplit

from autointerp.errors import BadInput
from autointerp.study import Llm

DEFAULT_KEY_ENV: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Per provider: the variable that is read when the study names neither a variable nor an endpoint."""
PLACEHOLDER = "none"
"""Sent as the key to an endpoint that needs none."""


def api_key(llm: Llm) -> str:
    """The endpoint's key.

    An endpoint of one's own that names no variable gets a placeholder, never a key that was meant for another
    endpoint. Raises BadInput when the named variable is empty.
    """
    name = llm.api_key_env
    if name is None and llm.base_url is None:
        name = DEFAULT_KEY_ENV.get(llm.provider)
    if name is None:
        return PLACEHOLDER
    value = os.environ.get(name, "").strip()
    if not value:
        raise BadInput(f"no key for model '{llm.model}': ${name} is not set", f"set {name}, or name another variable "
                       "in api_key_env")  # fmt: skip
    if not (value.isascii() and value.isprintable()):
        raise BadInput(f"the key in ${name} holds a character that no key has", "copy it anew, without line breaks")
    return value


def public_url(url: str) -> str:
    """The URL without what may be a secret: user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def without(text: str, secrets: Collection[str]) -> str:
    """`text` with every occurrence of a secret blotted out."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret and secret != PLACEHOLDER:
            text = text.replace(secret, "[key]")
    return text
