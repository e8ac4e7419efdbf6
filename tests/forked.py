"""Processes of a test's own that start in a moment: forks of one that has imported torch and the packages."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

# Reads a request (code, arguments, environment) with the three standard streams, and lets a fork of a fork run it: the
# one between waits for it, and writes how it ended.
_ZYGOTE = """
import json, os, socket, sys, traceback
import numba, pandas, pyarrow.parquet, torch, transformers, transformers.models.llama.modeling_llama
import autointerp.run.checks, autointerp.run.stages
import autointerp.llm.budget.purse, autointerp.llm.ledger.ledger, autointerp.study_file, sae.streams.live
import sae.streams.shards, sae.training.train
line = socket.socket(fileno=int(sys.argv[1]))
while True:
    text, fds, _, _ = socket.recv_fds(line, 1 << 20, 4)
    if not text:
        break
    if os.fork() == 0:
        line.close()
        child = os.fork()
        if child:
            for fd in fds[:3]:
                os.close(fd)
            os.write(fds[3], str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
            os._exit(0)
        for target, fd in enumerate(fds[:3]):
            os.dup2(fd, target)
        for fd in fds:
            os.close(fd)
        asked, code = json.loads(text), 0
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = ["-c", *asked["arguments"]]
        os.write(1, f"{os.getpid()}\\n".encode())
        try:
            exec(asked["code"], {"__name__": "__main__"})
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for fd in fds:
        os.close(fd)
"""


@cache
def _zygote(process: int) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The line to the process that forks, and that process: one for each process that runs tests."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    zygote = subprocess.Popen(
        [sys.executable, "-c", _ZYGOTE, str(its.fileno())], pass_fds=[its.fileno()], env=environment
    )
    its.close()
    return ours, zygote


class Forked:
    """What `python -c CODE ARGUMENTS...` is, but for the time that the imports take."""

    def __init__(self, code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: beside what the test's own has."""
        pipes = [os.pipe() for _ in range(4)]
        (stdin, to), (out, stdout), (err, stderr), (status, ended) = pipes
        asked = {"code": code, "arguments": arguments, "environment": {**os.environ, **(environment or {})}}
        socket.send_fds(_zygote(os.getpid())[0], [json.dumps(asked).encode()], [stdin, stdout, stderr, ended])
        for fd in (stdin, stdout, stderr, ended):
            os.close(fd)
        self.stdin: IO[str] = os.fdopen(to, "w")
        self.stdout: IO[str] = os.fdopen(out)
        self.stderr: IO[str] = os.fdopen(err)
        self._status: IO[str] = os.fdopen(status)
        self.pid = int(self.stdout.readline())

    def kill(self) -> None:
        """Kill it, without a warning."""
        os.kill(self.pid, signal.SIGKILL)

    def ends(self) -> tuple[int, str, str]:
        """Wait for its end: exit code (or minus the signal), and what is left of output and errors."""
        self.stdin.close()
        said, complained = self.stdout.read(), self.stderr.read()
        code = int(self._status.read())
        for stream in (self.stdout, self.stderr, self._status):
            stream.close()
        return code, said, complained


_COMMAND = """
import os, sys
folder, path, *sys.argv[1:] = sys.argv[1:]
os.chdir(folder)
sys.path[:0] = [part for part in path.split(os.pathsep) if part]
from autointerp.__main__ import main
main()
"""


def started(folder: Path, *words: str, path: str = "", environment: Mapping[str, str] | None = None) -> Forked:
    """`autointerp WORDS...` in a folder, in a process of its own. `path`: what PYTHONPATH would hold."""
    return Forked(_COMMAND, str(folder), path, *words, environment=environment)


def command_line(
    folder: Path, *words: str, path: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """What it does: exit code, output and errors."""
    return started(folder, *words, path=path, environment=environment).ends()
