"""The ledger: every answer that was paid for, in one SQLite file, durable before it is used.

WAL mode and autocommit, so that several processes may share a file. The key is the hash of the whole request and
of the endpoint. Refusals and cut answers are kept with their reason and come back as failures, never as answers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from autointerp.artifacts import canonical_json
from autointerp.errors import BadInput
from autointerp.llm.request import Answer, Failure, Request, Response, canonical, key

_COLUMNS = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    finish TEXT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    created TEXT NOT NULL
)
"""
_WHOLE = "stop"
_BUSY_SECONDS = 60.0


class Ledger:
    """Answers by key. One object may be used from several threads, one file by several processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; BadInput when it is damaged or can't be written."""
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(_COLUMNS)
        except sqlite3.Error as error:
            self._base.close()
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> BadInput:
        return BadInput(f"ledger {self._path} can't be used ({error})", "give a writable folder, or move the file away")

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._base
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def get(self, request: Request, endpoint: str) -> Answer | None:
        """The stored answer, marked as cached; None when the request was never answered."""
        query = "SELECT finish, text, reason, input_tokens, output_tokens FROM answers WHERE key = ?"
        with self._cursor() as base:
            row = base.execute(query, (key(request, endpoint),)).fetchone()
        if row is None:
            return None
        finish, text, reason, input_tokens, output_tokens = row
        if finish == _WHOLE:
            return Response(text, input_tokens, output_tokens, cached=True)
        return Failure(reason, finish, text, input_tokens, output_tokens, cached=True)

    def put(self, request: Request, endpoint: str, answer: Answer) -> Answer:
        """Store an answer, and return the one that counts: the first that was ever stored for this request.

        A failure without a `finish` is no answer: it is returned as it is, and not stored.
        """
        if isinstance(answer, Failure):
            if not answer.finish:
                return answer
            finish, text, reason = answer.finish, answer.partial, answer.reason
        else:
            finish, text, reason = _WHOLE, answer.text, ""
        row = (
            key(request, endpoint), endpoint, request.model, canonical_json(canonical(request)), finish, text, reason,
            answer.input_tokens, answer.output_tokens, datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        with self._cursor() as base:
            new = base.execute(f"INSERT OR IGNORE INTO answers VALUES ({', '.join('?' * len(row))})", row).rowcount
        stored = self.get(request, endpoint)
        if stored is None:
            raise BadInput(f"ledger {self._path} lost an answer just written", "check the disk it is on")
        return replace(stored, cached=False) if new else stored

    def __len__(self) -> int:
        with self._cursor() as base:
            return int(base.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._base.close()


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """A Ledger that is closed at the end."""
    ledger = Ledger(path)
    try:
        yield ledger
    finally:
        ledger.close()
