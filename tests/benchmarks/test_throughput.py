"""The benchmarks run and count rightly. What they time is not asserted: it depends on the machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.conftest import BENCHMARKS


@contextmanager
def _loopback(latency: float, slots: int) -> Iterator[int]:
    command = [sys.executable, "-m", "throughput.loopback", "--latency", str(latency), "--slots", str(slots)]
    with subprocess.Popen(command, cwd=BENCHMARKS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()
        assert process.wait(5) == 0  # it ends by itself when nobody holds it any more


async def _http(port: int, head: str, body: str = "", split: int = 0) -> tuple[int, Any]:
    """One exchange on a connection of its own; `split`: send the first so many bytes alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = f"{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    writer.write(data[:split])
    await writer.drain()
    if split:
        await asyncio.sleep(0.02)
    writer.write(data[split:])
    status = int((await reader.readline()).split()[1])
    length = 0
    while (line := (await reader.readline()).strip()) != b"":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    answer = json.loads(await reader.readexactly(length))
    writer.close()
    return status, answer


def _chat(port: int, number: int, split: int = 0) -> Awaitable[tuple[int, Any]]:
    return _http(port, "POST /v1/chat/completions", json.dumps({"text": f"[request {number}] x"}), split)


def test_the_endpoint_admits_so_many_and_counts() -> None:
    async def scenario(port: int) -> None:
        started = time.monotonic()
        answers = await asyncio.gather(*(_chat(port, n) for n in range(5)))
        assert time.monotonic() - started >= 0.3
        assert sorted(status for status, _ in answers) == [200, 200, 200, 429, 429]
        for n, (status, body) in enumerate(answers):
            if status == 200:
                assert body["choices"][0]["message"]["content"] == f"the answer to request {n}"
        status, body = await _chat(port, 7, split=40)  # a slot is free again, and a request may come in two parts
        assert (status, body["choices"][0]["message"]["content"]) == (200, "the answer to request 7")
        _, stats = await _http(port, "GET /stats")
        counted = {name: stats[name] for name in ("requests", "answered", "refused", "most_at_once")}
        assert counted == {"requests": 6, "answered": 4, "refused": 2, "most_at_once": 3}
        _, stats = await _http(port, "GET /stats")
        assert stats["requests"] == 0

    with _loopback(latency=0.3, slots=3) as port:
        asyncio.run(scenario(port))


def test_the_prompts_are_distinct_and_of_realistic_size() -> None:
    from throughput.workload import chat

    chats = [chat(number) for number in range(-64, 5000)]
    assert len(set(chats)) == len(chats)
    sizes = {sum(len(content) for _, content in one) for one in chats}
    assert min(sizes) > 1500
    assert max(sizes) < 3000


def _run(tmp_path: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    out = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "endpoint.py"), "--cache", str(tmp_path / "cache"), "--json", str(out)]
    command += ["--requests", "40", "--latency", "0.02", "--slots", "4", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done, json.loads(out.read_text())


def test_a_small_run(tmp_path: Path) -> None:
    done, results = _run(tmp_path, "--rounds", "1", "--only", "bare SDK", "autointerp")
    runs = results["runs"]
    assert {name: len(several) for name, several in runs.items()} == {"bare SDK": 1, "autointerp": 1}
    for one in (one for several in runs.values() for one in several):
        assert one["client"]["answered"] == one["client"]["requests"] == one["endpoint"]["answered"] == 40
        assert one["endpoint"]["refused"] == 0
        assert one["endpoint"]["most_at_once"] <= 4
        assert one["client"]["cpu_seconds"] > 0
    assert runs["autointerp"][0]["disk_mb"] > 0  # the ledger
    assert runs["bare SDK"][0]["disk_mb"] == 0
    assert [one["client"]["requests"] for one in results["memory"]] == [40, 160]
    bare, ours = results["rows"]
    assert (bare["above_sdk_ms"], bare["lost"], ours["lost"], ours["retries"]) == (None, 0, 0, 0)
    assert ours["above_sdk_ms"] is not None
    assert results["not_measured"].keys() == {"bare SDK, aiohttp", "delphi", "neuron-explainer", "sae-bench"}
    assert results["machine"]["cores"] >= 1
    head, *lines = [
        line for line in done.stdout.splitlines() if line.startswith(("client", "bare SDK  ", "autointerp  "))
    ]
    assert {len(line) for line in lines} == {len(head)}
    assert "delphi: NOT MEASURED: not asked for" in done.stdout
    assert not list((tmp_path / "cache").iterdir())  # the runs leave nothing behind


def test_what_cannot_take_part_is_named_with_its_reason(tmp_path: Path) -> None:
    from common.environments import Environment
    from endpoint import measure
    from throughput.contestants import BARE, Contestant
    from throughput.running import Setting

    missing = str(tmp_path / "no-such-package.whl")
    absent = Contestant("absent", "bare", "", Environment("absent", missing, ()))
    broken = Contestant("broken", "no_such_module", "")
    setting = Setting(latency=0.02, slots=2, cache=tmp_path)
    runs, reasons = measure([absent, broken, BARE], requests=8, rounds=2, setting=setting)
    assert [(c.name, len(several)) for c, several in runs.items()] == [("bare SDK", 2)]
    assert reasons.keys() == {"absent", "broken"}
    assert "no-such-package.whl can't be installed" in reasons["absent"]
    assert "no_such_module" in reasons["broken"]


def test_a_run_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from common.environments import Unavailable
    from throughput import running
    from throughput.contestants import BARE

    monkeypatch.setattr(running, "_START_SECONDS", 0.01)
    monkeypatch.setattr(running, "_PATIENCE", 0.0)
    setting = running.Setting(latency=0.02, slots=2, cache=tmp_path)
    with pytest.raises(Unavailable, match="did not finish"):
        running.run(BARE, 1, setting)


def test_answers_that_are_wrong_are_not_counted() -> None:
    from throughput.measuring import Tally
    from throughput.workload import answer

    tally = Tally(8)
    told: list[str | None] = [answer(0), answer(7), None, answer(3)]
    for number, text in enumerate(told):
        tally.tell(number, text)
    assert (tally.told, tally.answered) == (4, 2)


def test_a_crew_asks_everything_once_and_no_more_than_its_size_at_a_time() -> None:
    from throughput.measuring import Tally, crew

    asked: list[int] = []
    under_way = most = 0

    async def ask(number: int) -> str | None:
        nonlocal under_way, most
        asked.append(number)
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return None

    tally = Tally(20)
    with asyncio.Runner() as runner:
        work: Callable[[range, Tally], None] = crew(runner, 3, ask)
        work(range(20), tally)
    assert (asked, most, tally.told) == (list(range(20)), 3, 20)
