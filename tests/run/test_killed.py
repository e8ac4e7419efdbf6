"""Kill -9, twenty times at random moments of a run against an endpoint: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import autointerp
from autointerp.llm.request import Request
from autointerp.study_file import dump_study, parse_study
from autointerp.tables import read_table
from tests.llm.misbehaving import Endpoint, request_name, running
from tests.run.served import brain, served_settings
from tests.small import TABLES

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

EARLY, LATER = 3, 17

# Imports everything once, then runs the study in a fork for every line it gets: a fresh process each time.
_ZYGOTE = """
import os, sys
from pathlib import Path
import aiohttp, openai, torch, transformers.models.llama.modeling_llama
import autointerp, autointerp.run.checks, autointerp.run.estimating
from autointerp.study_file import load_study
study = load_study(sys.argv[1])
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.dup2(os.open(sys.argv[2] + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        autointerp.run(study, Path(sys.argv[2]), until="compare")
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Zygote:
    """Starts runs, and kills them."""

    def __init__(self, study: Path, out: Path) -> None:
        command = [sys.executable, "-c", _ZYGOTE, str(study), str(out)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def start(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._line()

    def is_over(self) -> bool:
        """Whether the run has ended by itself."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def ended(self) -> int:
        """How the run ended."""
        return self._line()


@contextmanager
def _zygote(study: Path, out: Path) -> Iterator[Zygote]:
    zygote = Zygote(study, out)
    try:
        yield zygote
    finally:
        zygote.process.kill()
        zygote.process.communicate()


def _committed(ledger: Path) -> set[str]:
    """The requests whose answers are in the ledger, as the endpoint names them."""
    if not ledger.is_file():
        return set()
    with closing(sqlite3.connect(ledger)) as base:
        rows = [json.loads(row) for (row,) in base.execute("SELECT request FROM answers")]
    names = set()
    for row in rows:
        messages = tuple((role, content) for role, content in row.pop("messages"))
        request = Request(messages=messages, **{**row, "stop": tuple(row["stop"])})
        chat = [{"role": role, "content": content} for role, content in messages]
        names.add(request_name(chat, request.draw_seed % 2**31))
    return names


def test_killed_twenty_times_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "cache"))
    rng = random.Random(0)
    with running(Endpoint(brain, delay=0.01)) as server:
        study = parse_study(served_settings(tmp_path, server.url, concurrency=4))
        whole = autointerp.run(study, tmp_path / "whole", until="compare")
        before = server.asked.copy()
        assert before.total() >= 500
        (tmp_path / "study.toml").write_text(dump_study(study))
        out, killed = tmp_path / "run", 0
        with _zygote(tmp_path / "study.toml", out) as zygote:
            for number in range(EARLY + LATER):
                committed, asked = _committed(out / "ledger.sqlite"), server.asked.copy()
                child = zygote.start()
                _wait(server, asked.total(), rng, number, before.total())
                assert not zygote.is_over(), (tmp_path / "run.log").read_text()[-2000:]
                os.kill(child, signal.SIGKILL)
                killed += zygote.ended() == -signal.SIGKILL
                again = {name for name, count in (server.asked - asked).items() if count and name in committed}
                assert not again, "an answer that was committed is not asked for again"
            zygote.start()
            assert zygote.ended() == 0
        assert killed == EARLY + LATER
        sent = server.asked - before
    for name in (*TABLES, "judgements"):
        assert (out / f"{name}.parquet").read_bytes() == (whole.folder / f"{name}.parquet").read_bytes(), name
    assert _committed(whole.folder / "ledger.sqlite") <= set(sent) <= set(before)
    with closing(sqlite3.connect(out / "spending.sqlite")) as base:
        charged, uncertain, waiting = base.execute(
            "SELECT sum(state IN ('open', 'settled')), sum(state = 'open'), sum(state LIKE 'waiting%') FROM attempts"
        ).fetchone()
    assert charged >= sent.total() > before.total(), "what was in flight was asked again, and every attempt is charged"
    assert not waiting
    # At a kill four have a slot, and as many again may have been answered and not yet be settled.
    assert uncertain <= (EARLY + LATER) * 4 * 2, "what only waited for its turn is not charged"
    assert read_table(out / "usage.parquet")["uncertain"].sum() == uncertain


def _wait(server: Endpoint, asked: int, rng: random.Random, number: int, total: int) -> None:
    """Until a random moment: of the first stages, then somewhere in the requests."""
    if number < EARLY:
        moment = time.monotonic() + rng.uniform(0.1, 2.0)
        while time.monotonic() < moment and server.asked.total() < asked + 20:  # a fast machine is past them sooner
            time.sleep(0.002)
        return
    enough = asked + rng.randint(1, 2 * total // LATER - 40)
    deadline = time.monotonic() + 60
    while server.asked.total() < enough and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.02))
