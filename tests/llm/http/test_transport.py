from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from autointerp.errors import BadInput
from autointerp.llm.client import Transient
from autointerp.llm.ledger.database import Grouped
from autointerp.llm.online.slots import TURN, Limited
from autointerp.llm.open import open_provider
from autointerp.llm.request import Answer, Response
from autointerp.study_models import Llm
from tests.llm.doubles import YES, Reply, Server, chat, error, request, serve


def _ask(server: Server, *texts: str, slots: int = 8) -> list[Answer | BaseException]:
    async def go() -> list[Answer | BaseException]:
        provider = open_provider(Llm(provider="openai", model="m", base_url=server.url, concurrency=slots, timeout=5.0))
        limited = Limited(provider, slots, provider.takes_turns)
        try:
            asked = (limited.complete(request(text)) for text in texts)
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await provider.aclose()

    return asyncio.run(go())


def test_a_compressed_answer_is_read() -> None:
    packed = gzip.compress(chat("yes").body)
    with serve(Reply(body=packed, headers={"Content-Encoding": "gzip"})) as server:
        assert _ask(server, "a") == [Response("yes", 11, 3)]


def test_the_proxy_of_the_environment_is_used_and_not_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve(chat("yes"), chat("no")) as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        assert _ask(replace(server, url="http://an-endpoint.invalid/v1"), "a") == [Response("yes", 11, 3)]
        assert server.seen[0]["path"] == "http://an-endpoint.invalid/v1/chat/completions"
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert _ask(server, "a") == [Response("no", 11, 3)]
        monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
        (refused,) = _ask(replace(server, url="http://an-endpoint.invalid/v1"), "a")
        assert isinstance(refused, BadInput)
        assert "speaks socks5" in str(refused)


def test_no_key_of_another_service_is_taken_from_a_netrc(tmp_path_factory: pytest.TempPathFactory,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serve(chat("yes")) as server:
        assert _ask(server, "a") == [Response("yes", 11, 3)]
        assert not any(value.startswith("Basic") for value in server.headers[0].values())


def test_a_refusal_for_the_crowd_keeps_its_slot_until_the_pause_is_known() -> None:
    """Of one slot's two requests the second must not follow before the time that the first was told."""
    came: list[float] = []

    def behave(body: dict[str, object]) -> Reply:
        came.append(time.monotonic())
        return error(429, retry_after="0.3") if len(came) == 1 else chat("yes")

    with serve(behave=behave) as server:
        first, second = _ask(server, "a", "b", slots=1)
    assert isinstance(first, Transient)
    assert second == Response("yes", 11, 3)
    assert came[1] - came[0] > 0.25


def test_a_provider_that_takes_turns_keeps_no_slot_while_it_reads_its_answer() -> None:
    order: list[str] = []

    class Provider:
        async def complete(self, asked: object) -> Answer:
            turn = TURN.get()
            assert turn is not None
            await turn.take()
            order.append("sent")
            await asyncio.sleep(0.001)
            turn.give_back()
            await asyncio.sleep(0.05)
            order.append("read")
            return YES

    async def both() -> None:
        limited = Limited(Provider(), 1, takes_turns=True)
        await asyncio.gather(limited.complete(request("a")), limited.complete(request("b")))

    asyncio.run(both())
    assert order == ["sent", "sent", "read", "read"]


def test_writes_that_wait_are_written_together_and_an_error_reaches_all() -> None:
    groups: list[list[int]] = []

    def write(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        time.sleep(0.01)
        if 13 in items:
            raise OSError("disk full")
        return [-item for item in items]

    async def go() -> list[int | BaseException]:
        writes: Grouped[int, int] = Grouped(write)
        first = writes.put(0)
        await asyncio.sleep(0.006)  # being written
        rest = [writes.put(item) for item in (1, 2, 3)]
        assert await asyncio.gather(first, *rest) == [0, -1, -2, -3]
        cancelled = asyncio.ensure_future(asyncio.shield(writes.put(4)))
        await asyncio.sleep(0)
        cancelled.cancel()
        unlucky = await asyncio.gather(writes.put(12), writes.put(13), return_exceptions=True)
        last = writes.put(5)
        await writes.aclose()
        return [*unlucky, last.result()]

    *unlucky, last = asyncio.run(go())
    assert [str(error) for error in unlucky] == ["disk full", "disk full"]
    assert last == -5
    assert groups[:2] == [[0], [1, 2, 3]]
    assert sorted(item for group in groups for item in group) == [0, 1, 2, 3, 4, 5, 12, 13]
