"""A contestant in a process of its own that is kept: it imports its library once and does one job after another.

The parent writes a line of JSON per job and waits for one that starts with a mark; what a library prints between is
passed over. A worker that waits costs no time. Standard library only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.environments import Unavailable, loopback_only

_ROOT = Path(__file__).parents[1]
_MARK, _READY = "outcome ", "ready"
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b")
"""How the line of a traceback starts that says what went wrong."""
_LONGEST_REASON = 300
_QUIET = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TQDM_DISABLE": "1"}
"""No GPU, no network, and no progress bars, for everybody alike."""


def answer(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The child's side: do jobs until the parent has no more. An error ends the process; the parent reports it."""
    print(_READY, flush=True)
    for line in sys.stdin:
        print(_MARK + json.dumps(handle(json.loads(line))), flush=True)


class Worker:
    """The parent's side. The process starts with the first job, and again after one that failed."""

    def __init__(self, python: Path, module: str) -> None:
        self._command = [str(python), "-m", module]
        self._process: subprocess.Popen[str] | None = None
        self._ready = False
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker

    def start(self) -> None:
        """Begin with the imports, without waiting for them; `ready` does."""
        self._started()

    def ready(self, seconds: float) -> None:
        """Wait until the imports are done, or have failed: then the first job tells why."""
        process = self._started()
        assert process.stdout is not None
        if not self._ready:
            alarm = threading.Timer(seconds, process.kill)
            alarm.start()
            self._ready = any(line == _READY + "\n" for line in process.stdout)
            alarm.cancel()

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The outcome of `job`. Raises Unavailable with the reason if it fails or takes longer than `seconds`."""
        process = self._started()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(seconds, give_up)
        alarm.start()
        try:
            if outcome := self._outcome(process, job):
                return outcome
        finally:
            alarm.cancel()
        process.kill()
        self._end()
        raise Unavailable(f"did not finish within {seconds:.0f} s" if late.is_set() else self._reason())

    def close(self) -> None:
        """End the process."""
        self._end()
        self._errors.close()

    def _end(self) -> None:
        """Let the process see the end of its input, and wait for it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # one that failed has not read its last job
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process = None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._ready = False
            self._process = subprocess.Popen(
                self._command,
                cwd=_ROOT,
                env={**loopback_only(), **_QUIET},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        return self._process

    def _outcome(self, process: subprocess.Popen[str], job: dict[str, Any]) -> dict[str, Any] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        line = next((line for line in process.stdout if line.startswith(_MARK)), None)
        self._ready = True  # or at its end
        return None if line is None else dict(json.loads(line.removeprefix(_MARK)))

    def _reason(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        named = [line for line in lines if _EXCEPTION.match(line)] or lines
        return f"failed: {named[-1][:_LONGEST_REASON]}" if named else "failed without a word"
