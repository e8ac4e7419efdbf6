"""One run: a fresh endpoint, a fresh client, the hand-shake between them, and what both have counted."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from common.environments import Unavailable, loopback_only, python_of

from throughput.contestants import Contestant
from throughput.loopback import Stats
from throughput.measuring import READY, Job, Measured

_ROOT = Path(__file__).parents[1]
_PATIENCE = 60.0
"""Times the ideal duration, after which a run is given up."""
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Setting:
    """The endpoint, and where files go."""

    latency: float
    """Seconds."""
    slots: int
    cache: Path
    """Environments of the rivals, and the ledgers of the runs."""

    @property
    def ideal(self) -> float:
        """Requests per second when every slot is always taken."""
        return self.slots / self.latency


@dataclass(frozen=True)
class Run:
    """What the client measured of itself and the endpoint counted, in the timed part alone."""

    client: Measured
    endpoint: Stats
    disk_mb: float
    """What it left on disk."""

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return self.client.answered / self.client.seconds

    @property
    def cpu_ms(self) -> float:
        """The client's CPU milliseconds per request."""
        return 1000 * self.client.cpu_seconds / self.client.requests

    @property
    def retries(self) -> int:
        """Requests beyond one each."""
        return self.endpoint.requests - self.client.requests


def run(contestant: Contestant, requests: int, setting: Setting) -> Run:
    """Measure `contestant` on that many requests. Raises Unavailable when it can't take part or does not finish."""
    python = python_of(contestant.environment, setting.cache) if contestant.environment else Path(sys.executable)
    setting.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=setting.cache) as folder, _endpoint(setting) as port:
        job = Job(f"http://127.0.0.1:{port}/v1", requests, setting.slots, folder)
        seconds = _START_SECONDS + _PATIENCE * requests / setting.ideal
        client, stats = _measure(contestant, python, job, port, seconds)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return Run(client, stats, size / 2**20)


def _measure(contestant: Contestant, python: Path, job: Job, port: int, seconds: float) -> tuple[Measured, Stats]:
    command = [str(python), "-m", f"throughput.clients.{contestant.module}", json.dumps(asdict(job))]
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
        command, cwd=_ROOT, env=loopback_only(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        alarm, deadline = threading.Timer(seconds, process.kill), time.monotonic() + seconds
        alarm.start()
        try:
            if _line(process.stdout, READY):
                _stats(port)
                process.stdin.write("go\n")
                process.stdin.flush()
                if result := _line(process.stdout, "{"):
                    stats = _stats(port)
                    process.stdin.close()
                    if process.wait() == 0:
                        return Measured(**json.loads(result)), stats
        except BrokenPipeError:
            process.wait()
        finally:
            late = time.monotonic() >= deadline
            alarm.cancel()
            process.kill()
        errors.seek(0)
        last = next((line.strip() for line in reversed(errors.readlines()) if line.strip()), "it gave no reason")
    raise Unavailable(f"did not finish within {seconds:.0f} s" if late else f"failed: {last}")


def _line(lines: Iterator[str], start: str) -> str:
    """The next line that starts so (a client may print what it likes between); '' when the process has ended."""
    return next((line for line in lines if line.startswith(start)), "")


@contextmanager
def _endpoint(setting: Setting) -> Iterator[int]:
    """An endpoint in its own process; yields its port."""
    command = [sys.executable, "-m", "throughput.loopback"]
    command += ["--latency", str(setting.latency), "--slots", str(setting.slots)]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait()


def _stats(port: int) -> Stats:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
        return Stats(**json.load(answer))
