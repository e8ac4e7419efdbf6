"""Keys: read from the environment variable that the study names; never stored, logged or shown."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit, urlunsplit

from autointerp.errors import BadInput
from autointerp.study import Llm

DEFAULT_KEY_ENV: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Per provider: the variable that is read when the study names neither a variable nor an endpoint."""
PLACEHOLDER = "none"
"""Sent as the key to an endpoint that needs none."""
_USUAL_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


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
        if not _USUAL_NAME.fullmatch(name):  # it may well be the key, put where its variable's name belongs
            raise BadInput(f"no key for model '{llm.model}': the variable that api_key_env names is not set",
                           "give api_key_env the NAME of a variable that holds the key")  # fmt: skip
        raise BadInput(f"no key for model '{llm.model}': ${name} is not set", f"set {name}, or name another variable "
                       "in api_key_env")  # fmt: skip
    if not (value.isascii() and value.isprintable()):
        raise BadInput(f"the key in ${name} holds a character that no key has", "copy it anew, without line breaks")
    return value


def http_parts(url: str) -> SplitResult | None:
    """The parts of an address that HTTP can reach; None for what is no such address."""
    if any(not c.isprintable() or c.isspace() for c in url):
        return None
    try:
        parts = urlsplit(url)
        reachable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is not closed, a port that is no port
        return None
    return parts if reachable else None


def public_url(url: str) -> str:
    """The URL without what may be a secret: user, password, query and fragment. '' for what is no HTTP address."""
    parts = http_parts(url)
    if parts is None:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def without(text: str, secrets: Collection[str]) -> str:
    """`text` with every occurrence of a secret blotted out, be it plain or percent-encoded, in part or in whole."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret and secret != PLACEHOLDER:
            text = _spellings(secret).sub("[key]", text)
    return text


@lru_cache(maxsize=256)
def _spellings(secret: str) -> re.Pattern[str]:
    """Matches the secret as it is, and with any of its characters as a URL may hold them: each client and server
    has its own opinion of which ones to encode.
    """
    return re.compile("".join(_spelling(character) for character in secret))


def _spelling(character: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode("utf8", "replace"))
    blank = r"|\+" if character == " " else ""
    return f"(?:(?i:{encoded})|{re.escape(character)}{blank})"  # in this order: `%25` is not a `%`, and then `25`
