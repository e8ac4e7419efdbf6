"""What the tests of the batch interfaces share: a study's endpoint, an asker on it, and a process to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autointerp.llm.batch.asker import BatchAsker
from autointerp.llm.budget.account import Usage
from autointerp.llm.budget.prices import BATCH_DISCOUNT
from autointerp.llm.budget.purse import Purse
from autointerp.llm.ledger.ledger import Ledger
from autointerp.llm.open import open_batches
from autointerp.llm.request import Answer, Request, Response
from autointerp.study_models import Budget, Llm
from tests.llm.batch.standin import KEY

KEY_ENV = "KEY_OF_THE_TESTS"

_STABLE = """
import os, signal, sys
from pathlib import Path
import anthropic, openai
from tests.llm.batch.workshop import asks, asking, endpoint
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    provider, url, folder = line.split()
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    with asking(endpoint(provider, url), Path(folder)) as asker:
        list(asker.stream(asks()))
    os._exit(0)
"""


def endpoint(provider: str, url: str, **more: Any) -> Llm:
    settings = {"attempts": 3, "input_usd": 2.0, "output_usd": 8.0, **more}
    return Llm(provider=provider, model="m", base_url=url, api_key_env=KEY_ENV, **settings)


def asks(count: int = 7) -> list[Request]:
    """Distinct chats with a shared beginning."""
    return [Request((("system", "Be brief."), ("user", f"question {i} é")), "m", 16, 0.5, seed=1) for i in range(count)]


@contextmanager
def asking(llm: Llm, folder: Path, budget: Budget = Budget(), **more: Any) -> Iterator[BatchAsker]:  # noqa: B008
    """An asker on files that a later one may take up."""
    ledger, usage = Ledger(folder / "ledger.sqlite"), Usage(folder / "spending.sqlite", budget)
    try:
        purse = Purse(usage, "explain", llm, BATCH_DISCOUNT)
        settings = {"sleep": lambda seconds: None, **more}
        with open_batches(llm, ledger, folder / "batches.sqlite", purse, **settings) as asker:
            yield asker
    finally:
        usage.close()
        ledger.close()


def spent(folder: Path) -> tuple[int, float]:
    """Tokens and dollars, reserved ones included."""
    usage = Usage(folder / "spending.sqlite")
    try:
        return usage.spent()
    finally:
        usage.close()


def answers(llm: Llm, folder: Path, requests: Sequence[Request], **more: Any) -> list[Answer]:
    """By place."""
    with asking(llm, folder, **more) as asker:
        found = dict(asker.stream(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[place] for place in range(len(requests))]


def texts(found: Iterable[Answer]) -> list[str]:
    """What the answers say; raises AssertionError where one is none."""
    said: list[str] = []
    for answer in found:
        assert isinstance(answer, Response), answer
        said.append(answer.text)
    return said


class Stable:
    """Processes to be killed: forks of one that has imported everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _STABLE], env={**os.environ, KEY_ENV: KEY}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self, provider: str, url: str, folder: Path) -> int:
        """Ask the stage in a process of its own; its id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{provider} {url} {folder}\n")
        self._process.stdin.flush()
        return int(self._said())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def kill(pid: int) -> None:
    """-9, and wait until it is gone; a process that has ended already is fine."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        while True:
            os.kill(pid, 0)
            time.sleep(0.005)
