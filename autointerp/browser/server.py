"""`browse RUN --serve`: a run's pages from a server on this machine, with what needs a model."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.browser.lending import FOLDER
from autointerp.errors import BadInput
from autointerp.progress import say

HOST = "127.0.0.1"
"""Nobody reaches it from another machine."""
_GRACE = 1
"""Seconds that a reader's open stream has when the server ends."""


@dataclass(frozen=True)
class Ready:
    """A server that listens already, and answers as soon as `run` is called."""

    address: str
    """With the token: whoever has it can ask."""
    token: str
    run: Callable[[], None]
    """Serves until `stop`, or a signal, in the thread that calls it."""
    stop: Callable[[], None]


def serve(run: Path, *, port: int, index: Callable[[str], str], ledger: Path | None = None) -> None:
    """Serve the pages in `run`/browser until Ctrl-C, at an address that is printed to standard output.

    `port`: 0 for any that is free. `index`: from the token to the HTML of the page. `ledger`: of a run whose answers
    are not in its folder. Raises BadInput for a folder that is no run or has no pages, a port that is taken, and where
    the extra `browse` is not installed; KeyboardInterrupt at Ctrl-C, when all is closed and written.
    """
    with ready(run, port=port, index=index, ledger=ledger) as server:
        print(server.address, flush=True)
        say("The address holds a token: whoever has it can ask, and spend the run's budget. Ctrl-C ends the server.")
        server.run()


@contextmanager
def ready(run: Path, *, port: int, index: Callable[[str], str], ledger: Path | None = None) -> Iterator[Ready]:
    """A server that is about to serve; at the end of the block what it opened is closed. Raises as `serve` does."""
    try:
        import uvicorn

        from autointerp.browser.application import application
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("uvicorn", "starlette"):
            raise
        raise BadInput(f"the package {error.name} is not installed", "pip install 'autointerp[browse]'") from error
    from autointerp.browser.guards import Guard
    from autointerp.browser.jobs import Jobs
    from autointerp.browser.workbench import Workbench

    folder = run / FOLDER
    if not folder.is_dir():
        raise BadInput(f"{run} has no pages ({folder})", f"make them: autointerp browse {run}")
    bench = Workbench(run, ledger)
    token = secrets.token_urlsafe(32)
    with _listening(port) as listening:
        number = int(listening.getsockname()[1])
        jobs = Jobs(bench)
        guarded: Any = Guard(application(folder, lambda: index(token), bench, jobs), number, token)
        # Nothing of a request is logged: it may hold the token.
        config = uvicorn.Config(
            guarded, log_config=None, log_level="critical", access_log=False, server_header=False, ws="none",
            lifespan="off", limit_concurrency=128, timeout_graceful_shutdown=_GRACE,
        )  # fmt: skip
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        jobs.start()
        try:
            yield Ready(f"http://{HOST}:{number}/?token={token}", token, lambda: server.run(sockets=[listening]), stop)
        finally:
            jobs.stop()


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen(64)
        except (OSError, OverflowError) as error:
            raise BadInput(f"can't listen on port {port} of {HOST} ({error})", "give another --port, or 0") from error
        yield listening
