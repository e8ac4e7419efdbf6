"""Which requests are in which batch, durable before a batch is made and until all its answers are in the ledger.

The file belongs to one run, like the run's account (its tickets are that account's). One process at a time may hold
it: what another process has written down and not yet handed in can't be told from what a dead one left behind.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import BadInput
from autointerp.llm.ledger.database import transaction, unusable
from autointerp.llm.request import Request, canonical

_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    uuid TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    route TEXT NOT NULL,
    after TEXT NOT NULL,
    remote TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS items (
    key TEXT PRIMARY KEY,
    batch TEXT NOT NULL REFERENCES batches (uuid),
    request TEXT NOT NULL,
    ticket INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS items_of ON items (batch);
"""
_BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class HeldRequest:
    """A request that a batch holds."""

    request: Request
    ticket: int
    """What was reserved for it in the run's account."""


@dataclass(frozen=True)
class Submission:
    """A batch that was handed in, or was about to be."""

    uuid: str
    """Ours: given before the batch is made."""
    endpoint: str
    """Identity of the provider."""
    route: str
    """What kind of requests it holds: the path that each of them would go to by itself."""
    after: str
    """The endpoint's id of the newest batch that was there before; '' when there was none."""
    remote: str = ""
    """The endpoint's id of this batch; '' until it is known."""


class BatchStore:
    """The open batches of one run."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; BadInput when another process holds it, or it can't be used."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            # The operating system lets go of the lock when the process dies, however it dies.
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("BEGIN EXCLUSIVE")
            self._base.execute("COMMIT")
            self._base.executescript(_TABLES)
        except sqlite3.Error as error:
            self._base.close()
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> BadInput:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return BadInput(f"another process waits for the batches in {self._path}", "let it end, or stop it first")
        return unusable(self._path, error)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._base):
                yield self._base
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def intend(self, submission: Submission, items: Mapping[str, HeldRequest]) -> None:
        """Write down, by key, what the batch is going to hold, before it is made."""
        rows = [
            (name, submission.uuid, json.dumps(canonical(held.request)), held.ticket) for name, held in items.items()
        ]
        with self._transaction() as base:
            base.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?)",
                (submission.uuid, submission.endpoint, submission.route, submission.after, submission.remote),
            )
            base.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", rows)

    def name(self, uuid: str, remote: str) -> None:
        """Write down the endpoint's id of a batch, once it is made."""
        with self._transaction() as base:
            base.execute("UPDATE batches SET remote = ? WHERE uuid = ?", (remote, uuid))

    def open(self, endpoint: str) -> Sequence[Submission]:
        """The endpoint's batches whose answers are not all in the ledger yet, oldest first."""
        query = "SELECT uuid, endpoint, route, after, remote FROM batches WHERE endpoint = ? ORDER BY rowid"
        with self._transaction() as base:
            rows = base.execute(query, (endpoint,)).fetchall()
        return [Submission(*row) for row in rows]

    def items(self, uuid: str) -> Mapping[str, HeldRequest]:
        """What a batch holds, by key, in the order it was handed in."""
        with self._transaction() as base:
            rows = base.execute(
                "SELECT key, request, ticket FROM items WHERE batch = ? ORDER BY rowid", (uuid,)
            ).fetchall()
        return {name: HeldRequest(_rebuilt(json.loads(text)), ticket) for name, text, ticket in rows}

    def forget(self, uuid: str) -> None:
        """Drop a batch: its answers are in the ledger, or it was never made."""
        with self._transaction() as base:
            base.execute("DELETE FROM items WHERE batch = ?", (uuid,))
            base.execute("DELETE FROM batches WHERE uuid = ?", (uuid,))

    def close(self) -> None:
        """Close the file, and let others have it."""
        self._base.close()


def _rebuilt(data: Mapping[str, Any]) -> Request:
    """The request whose canonical form this is."""
    messages = tuple((role, content) for role, content in data["messages"])
    return Request(**{**data, "messages": messages, "stop": tuple(data["stop"])})
