"""No secret is shown: not in messages, not in the logs of the SDKs, however it is written."""

from __future__ import annotations

import asyncio
import logging
import string
import traceback
from collections.abc import Iterator
from io import StringIO
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autointerp.errors import BadInput
from autointerp.llm.address import PLACEHOLDER, address, api_key, hide_in_logs, identity, public_url, without
from autointerp.llm.open import open_provider
from autointerp.study_file import parse_study
from autointerp.study_models import Llm
from tests.llm.doubles import Reply, error, request, serve

NO_ADDRESS = [
    "bob:hunter22@127.0.0.1:8000/v1", "localhost:8000/v1", "127.0.0.1:8000/v1", "//bob:hunter22@127.0.0.1/v1",
    "http://bob:hunter22@127.0.0.1:99999/v1", "http://bob:hunter22@[::1/v1", "http://bob:hunter22/@127.0.0.1/v1",
    "http://bob:hunter22@127.0.0.1:0/v1", "http://bob:hunter22@127.0.0.1\n/v1", "http://bob:hunter22@/v1",
]  # fmt: skip


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_address_is_one_line_without_the_password(url: str, provider: str) -> None:
    llm = Llm(provider=provider, model="m", base_url=url)
    with pytest.raises(BadInput, match="is no address") as caught:
        address(llm)
    assert "hunter22" not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    assert public_url(url) == ""
    assert identity(llm) == f"{provider} "


@given(st.text(st.sampled_from("htps:/@[]?#%.:8 \n") | st.characters(), max_size=30))
def test_a_public_url_never_raises(text: str) -> None:
    assert public_url(text) == "" or public_url(text).startswith(("http://", "https://"))
    public_url(f"http://{text}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://[::1]:8000/v1/", "http://[::1]:8000/v1"),
        ("https://u:p@example.org/v1?key=x#y", "https://example.org/v1"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown


SECRETS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=4, max_size=12).filter(
    lambda secret: secret != PLACEHOLDER  # what stands for no key is none
)


@given(SECRETS, st.data())
def test_a_secret_is_found_however_a_url_spells_it(secret: str, data: st.DataObject) -> None:
    """Each character plain or encoded, in capitals or not, as a client or server of any opinion may write it."""
    encoded = [(c, "".join(f"%{byte:02x}" for byte in c.encode())) for c in secret]
    spelt = "".join(data.draw(st.sampled_from([plain, code, code.upper()])) for plain, code in encoded)
    for text in (spelt, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        assert without(f"no {text}.", [secret]) == "no [key]."


def test_other_texts_stay_as_they_are() -> None:
    text = "".join(string.printable)
    assert without(text, ["sk-very-secret", "none", ""]) == text
    assert without("the key SK-VERY", ["sk-very"]) == "the key SK-VERY"


# --- the logs of the SDKs and of what they send with ---


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that anybody logs, from level DEBUG up."""
    written, root = StringIO(), logging.getLogger()
    handler = logging.StreamHandler(written)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


QUERY = "QUERY/SECRET+1=2"
KEY = "sk-very-secret-0123456789"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_nothing_secret_is_logged_and_nothing_echoed(
    log: StringIO, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    suffix = "/v1" if provider == "openai" else ""

    def echo(body: dict[str, object]) -> Reply:
        return error(404, f"no {body['path']} for {KEY}", X_Echo=KEY)

    async def ask(url: str) -> list[object]:
        client = open_provider(Llm(provider=provider, model="m", base_url=url, api_key_env="MY_KEY", timeout=5.0))
        answers = await asyncio.gather(*(client.complete(request(str(n))) for n in range(2)), return_exceptions=True)
        await client.aclose()
        return list(answers)

    with serve(behave=echo) as server:
        base = f"{server.url.removesuffix('/v1')}{suffix}?code={quote(QUERY, safe='')}"
        answers = asyncio.run(ask(base))
    answers += asyncio.run(ask(f"http://127.0.0.1:9{suffix}?code={quote(QUERY, safe='')}"))  # a broken connection
    text = log.getvalue() + "".join(map(str, answers))
    assert "127.0.0.1" in log.getvalue(), "the address itself is logged"
    assert "code=[key]" in text
    for part in ("QUERY", "SECRET", "very-secret"):
        assert part not in text


def test_a_logged_exception_and_arguments_are_blotted_and_other_records_stay(log: StringIO) -> None:
    hide_in_logs(["abc/def"])
    hide_in_logs(["ghi-jkl"])
    logger = logging.getLogger("httpcore2.http11")
    try:
        raise ValueError("at abc%2Fdef")
    except ValueError:
        logger.debug("%s %s", "ghi-jkl", {"url": "abc/def"}, exc_info=True)
    logger.debug("%d of %d", 1, 2)
    assert log.getvalue().startswith("[key] {'url': '[key]'}\nTraceback")
    assert log.getvalue().endswith("ValueError: at [key]\n1 of 2\n")


# --- a key in the place of its variable's name ---


@pytest.mark.parametrize("key", ["sk-proj-REALKEY-123456", "0123456789abcdef", "a.b", "A B", "", "KEY\n"])
def test_a_key_given_as_the_name_of_its_variable_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_study({"llm": {"explainer": {"provider": "openai", "api_key_env": key}}})
    assert str(caught.value) == (
        "study: llm.explainer.api_key_env is not the name of a variable: give the NAME of the one that holds the key"
    )
    shown = "".join(traceback.format_exception(caught.value))
    assert not key.strip() or len(key) < 4 or key not in shown
    with pytest.raises(BadInput, match="not the name of a variable"):
        parse_study({}, [f"llm.explainer.api_key_env='''{key}'''"])
    with pytest.raises(ValidationError) as refused:
        Llm(api_key_env=key)
    assert len(key) < 4 or key not in str(refused.value)


def test_a_key_that_could_be_a_name_is_not_repeated_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("gsk_abcDEF0123456789", "AbCd1234efgh5678"):
        with pytest.raises(BadInput, match="the NAME of a variable") as caught:
            api_key(Llm(provider="openai", model="m", api_key_env=key))
        assert key not in str(caught.value)
    monkeypatch.setenv("my_key", "secret")
    assert api_key(Llm(provider="openai", model="m", api_key_env="my_key")) == "secret"
