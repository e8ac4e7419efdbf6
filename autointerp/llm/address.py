"""Where an endpoint is, and the key that it takes: apart from each other, and no secret in any log.

Keys are read from the environment variable that the study names; they are never stored, logged or shown.
"""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from autointerp.artifacts import canonical_json
from autointerp.errors import BadInput
from autointerp.llm.providers import provider_traits
from autointerp.study_models import ENVIRONMENT, Llm

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
        name = provider_traits(llm).key_env
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


_PACKAGES = ("autointerp", "httpx2", "httpcore2", "openai", "anthropic", "aiohttp")
_MADE_LATER = ("connection", "http11", "http2", "socks", "proxy")
"""Loggers of httpcore2, which is imported with the first connection."""
_FORMATTER = logging.Formatter()


class _Blotter(logging.Filter):
    """Lets every record through, without the secrets that it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        blotted = without(message, self.secrets)
        if blotted != message:
            record.msg, record.args = blotted, ()
        if record.exc_info:
            trace = _FORMATTER.formatException(record.exc_info)
            if (blotted := without(trace, self.secrets)) != trace:
                record.exc_text, record.exc_info = blotted, None  # a handler would format the exception anew
        return True


_BLOTTER = _Blotter()
"""One for the process, as the loggers are."""


def hide_in_logs(secrets: Collection[str]) -> None:
    """Blot `secrets` out of all that the loggers of HTTP clients and SDKs write from now on.

    A filter sees only what is logged by its own logger, not what a child hands up: each logger gets it.
    """
    _BLOTTER.secrets |= frozenset(secrets)
    existing = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _PACKAGES]
    for name in {*_PACKAGES, *existing, *(f"httpcore2.{part}" for part in _MADE_LATER)}:
        logging.getLogger(name).addFilter(_BLOTTER)


@dataclass(frozen=True)
class Address:
    """One endpoint, and all that a client needs to reach it."""

    url: str
    """Scheme, host and path: safe to show."""
    key: str = field(repr=False)
    """The API key, or a placeholder."""
    query: Mapping[str, str] = field(repr=False)
    """Parameters of the configured URL, to be sent with every request."""
    headers: Mapping[str, str] = field(repr=False)
    """Those of the study, and the one for the user and password of the configured URL."""
    secrets: frozenset[str] = field(repr=False)
    """What must never be shown."""
    where: str
    """The model and the endpoint, for messages."""


def identity(llm: Llm) -> str:
    """Provider and endpoint, without secrets, and what the study wants sent beside each request: part of every ledger
    key. Needs no key and no SDK."""
    also = f" with {canonical_json(llm.parameters)}" if llm.parameters else ""
    return f"{llm.provider} {public_url(_configured(llm))}{also}"


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
    given, hidden = _headers(llm)
    found = (key, password, basic, *hidden, *(value or name for name, value in query.items()))
    secrets = frozenset(s for s in found if len(s) > _SHORT)
    hide_in_logs(secrets)
    headers = given | ({"Authorization": f"Basic {basic}"} if basic else {})
    public = public_url(url)
    return Address(public, key, query, headers, secrets, f"model '{llm.model}' at {public}")


def _headers(llm: Llm) -> tuple[dict[str, str], list[str]]:
    """The study's headers with the values of the variables that it names, and these. BadInput for an empty one."""
    found, hidden = {}, []
    for name, value in llm.headers.items():
        if match := ENVIRONMENT.fullmatch(value):
            value = os.environ.get(match[1], "").strip()
            if not value or not (value.isascii() and value.isprintable()):
                raise BadInput(
                    f"header '{name}' of model '{llm.model}': ${match[1]} is not set, or no header may hold it",
                    f"set {match[1]}",
                )
            hidden.append(value)
        found[name] = value
    return found, hidden


_SHORT = 3
"""A 'secret' of so few characters is none, and blotting it out would garble every message."""


def _configured(llm: Llm) -> str:
    traits = provider_traits(llm)
    return llm.base_url or os.environ.get(traits.url_env or "", "") or traits.url
