"""Keys: read from the environment variable that the study names; never stored, logged or shown."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from autointerp.errors import BadInput
from autointerp.study import Llm

DEFAULT_KEY_ENV = "OPENAI_API_KEY"
"""Read when the study names neither a variable nor an endpoint."""
_PLACEHOLDER = "none"


def api_key(llm: Llm) -> str:
    """The endpoint's key.

    An endpoint of one's own that names no variable gets a placeholder, never a key that was meant for another
    endpoint. Raises BadInput when the named variable is empty.
    """
    if llm.api_key_env is None and llm.base_url is not None:
        return _PLACEHOLDER
    name = llm.api_key_env or DEFAULT_KEY_ENV
    value = os.environ.get(name, "").strip()
    if not value:
        raise BadInput(f"no key for model '{llm.model}': ${name} is not set", f"set {name}, or name another variable "
                       "in api_key_env")  # fmt: skip
    return value


def public_url(url: str) -> str:
    """The URL without what may be a secret: user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def without(text: str, key: str) -> str:
    """`text` with every occurrence of the key blotted out."""
    return text.replace(key, "[key]") if key and key != _PLACEHOLDER else text
