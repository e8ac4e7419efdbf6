"""SQLite files that several processes share: opened with patience, their errors said in one line."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from autointerp.errors import BadInput

_BUSY_SECONDS = 60.0
_OPENING_SECONDS = 20.0


def unusable(path: Path | None, error: Exception) -> BadInput:
    """What a damaged, locked or unwritable file comes to."""
    return BadInput(f"{path} can't be used ({error})", "give a writable folder, or move the file away")


def open_base(path: Path | None, synchronous: str, script: str) -> sqlite3.Connection:
    """Open or create a file in WAL mode, autocommit, with the tables of `script`; None: in memory.

    Raises BadInput when it is damaged or can't be written. The switch to WAL does not wait for other processes that
    are just creating the file, so it is tried again for 20 seconds.
    """
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        where = ":memory:" if path is None else path
        base = sqlite3.connect(where, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from error
    deadline = time.monotonic() + _OPENING_SECONDS
    while True:
        try:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute(f"PRAGMA synchronous = {synchronous}")
            base.executescript(script)
            return base
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                base.close()
                raise unusable(path, error) from error
            time.sleep(0.05)
        except sqlite3.Error as error:
            base.close()
            raise unusable(path, error) from error


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the block or nothing of it. Raises what the block or SQLite raises."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield base
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there; SQLite's errors come out as BadInput."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as base:
            yield base
    except sqlite3.Error as error:
        raise unusable(path, error) from error
