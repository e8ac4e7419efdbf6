"""What the tests of `side_by_side` have called in processes of their own: light, so that these start fast."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.progress import bar, say
from autointerp.run.side_by_side import call_side_by_side

_SECONDS = 30.0


def until(there: Callable[[], bool]) -> None:
    """Wait for something; AssertionError where it never comes."""
    deadline = time.monotonic() + _SECONDS
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def meets(folder: Path, name: str, others: int) -> None:
    """Ends only when so many have begun; notes how many were under way."""
    (folder / f"{name}.begun").touch()
    until(lambda: len(list(folder.glob("*.begun"))) >= others)
    under_way = len(list(folder.glob("*.begun"))) - len(list(folder.glob("*.done")))
    say(f"one of {under_way}")
    print("not an answer")
    with bar("work", 1) as progress:
        progress.advance()
    (folder / f"{name}.done").write_text(str(under_way))


def fails(folder: Path, error: AutointerpError | None, after: str) -> None:
    """Raises the error when another call has begun; None: is killed, as for want of memory."""
    until((folder / f"{after}.begun").exists)
    if error is None:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        raise error


def outlives(folder: Path, name: str, other: str) -> None:
    """Ends after another call's failure was said, so the test says by a file."""
    (folder / f"{name}.begun").touch()
    until((folder / f"{other}.failed").exists)
    (folder / f"{name}.done").touch()


def breaks() -> None:
    """Has a fault of its own."""
    raise ZeroDivisionError


def goes_on(folder: Path, name: str) -> None:
    """Never ends by itself; writes down who it is, and that it was interrupted."""
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    try:
        while True:
            time.sleep(0.02)
    except KeyboardInterrupt:
        (folder / f"{name}.interrupted").touch()
        raise


def pids(folder: Path) -> Iterator[int]:
    """Who goes on there."""
    for path in folder.glob("*.pid"):
        if text := path.read_text():
            yield int(text)


def two_go_on(folder: Path) -> None:
    """Two of them, side by side."""
    call_side_by_side([(name, partial(goes_on, folder, name)) for name in ("a", "b")], 2, "nothing")
