"""The ledger: every answer that was paid for, in one SQLite file, durable before it is used.

WAL mode and autocommit, so that several processes may share a file. The key is the hash of the whole request and
of the endpoint. Refusals and cut answers are kept with their reason and come back as failures, never as answers.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.errors import BadInput
from autointerp.llm.capabilities import Capabilities
from autointerp.llm.ledger.database import open_base, transaction, unusable
from autointerp.llm.request import Answer, Failure, Request, Response, TokenLogprob, key, request_text
from autointerp.quoting import well_formed

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
    created TEXT NOT NULL,
    more TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS numbers (
    key TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    dtype TEXT NOT NULL,
    shape TEXT NOT NULL,
    data BLOB NOT NULL,
    created TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS endpoints (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    PRIMARY KEY (endpoint, model)
);
"""
_INSERT = (
    "INSERT OR IGNORE INTO answers (key, endpoint, model, request, finish, text, reason, input_tokens, output_tokens, "
    "created, more) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FILE_NAME = "ledger.sqlite"
"""In a run folder."""
WHOLE = "stop"
"""The `finish` of a whole answer."""


@dataclass(frozen=True)
class LedgerEntry:
    """An answer to be stored."""

    key: str
    endpoint: str
    model: str
    request: str
    """As canonical JSON."""
    answer: Answer


class Ledger:
    """Answers by key. One object may be used from several threads, one file by several processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file (None: kept in memory); BadInput when it is damaged or can't be written."""
        self._path = path
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._base = open_base(path, "FULL", _COLUMNS)
        with self._writer() as base:  # ledgers of version 0.1 have no place for log-probabilities
            if "more" not in [row[1] for row in base.execute("PRAGMA table_info(answers)")]:
                base.execute("ALTER TABLE answers ADD COLUMN more TEXT NOT NULL DEFAULT ''")
        # Of its own: who looks something up never waits for a write, by this process or another.
        self._lookups = self._base if path is None else open_base(path, "FULL", "")

    @contextmanager
    def _writer(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            try:
                yield self._base
            except sqlite3.Error as error:
                raise unusable(self._path, error) from error

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._reading:
            try:
                yield self._lookups
            except sqlite3.Error as error:
                raise unusable(self._path, error) from error

    def get(self, request: Request, endpoint: str) -> Answer | None:
        """The stored answer, marked as cached; None when the request was never answered."""
        return self.find(key(request, endpoint))

    def find(self, name: str) -> Answer | None:
        """The stored answer by its key."""
        query = "SELECT finish, text, reason, input_tokens, output_tokens, more FROM answers WHERE key = ?"
        with self._reader() as base:
            row = base.execute(query, (name,)).fetchone()
        if row is None:
            return None
        finish, text, reason, input_tokens, output_tokens, more = row
        extra = json.loads(more) if more else {}
        caching = (extra.get("cached_input_tokens"), extra.get("written_input_tokens", 0))
        if finish != WHOLE:
            return Failure(reason, finish, text, input_tokens, output_tokens, True, *caching)
        return Response(
            text, input_tokens, output_tokens, True, *caching,
            _unpacked(extra.get("logprobs")), _unpacked(extra.get("prompt_logprobs")),
        )  # fmt: skip

    def put(self, request: Request, endpoint: str, answer: Answer) -> Answer:
        """Store an answer, and return the one that counts: the first that was ever stored for this request.

        A failure without a `finish` is no answer: it is returned as it is, and not stored.
        """
        return self.keep(key(request, endpoint), request, endpoint, answer)

    def keep(self, name: str, request: Request, endpoint: str, answer: Answer) -> Answer:
        """`put`, by key."""
        return self.keep_all([LedgerEntry(name, endpoint, request.model, request_text(request), answer)])[0]

    def keep_all(self, entries: Sequence[LedgerEntry]) -> list[Answer]:
        """`put` for several at once, in one transaction: all of them are durable when it returns."""
        rows = [(entry.key, _row(entry)) for entry in entries if not _nothing(entry.answer)]
        new: set[str] = set()
        with self._writer() as base, transaction(base):
            for name, row in rows:
                if base.execute(_INSERT, row).rowcount:
                    new.add(name)
        return [self._counts(entry, entry.key in new) for entry in entries]

    def _counts(self, entry: LedgerEntry, new: bool) -> Answer:
        """The answer that counts."""
        if new or _nothing(entry.answer):
            return storable(entry.answer)
        stored = self.find(entry.key)
        if stored is None:
            raise BadInput(f"ledger {self._path} lost an answer just written", "check the disk it is on")
        return stored

    def numbers(self, name: str) -> np.ndarray | None:
        """Numbers that a model in the process gave (read-only); None when they were never stored."""
        with self._reader() as base:
            row = base.execute("SELECT dtype, shape, data FROM numbers WHERE key = ?", (name,)).fetchone()
        if row is None:
            return None
        dtype, shape, data = row
        return np.frombuffer(data, dtype=dtype).reshape(json.loads(shape))

    def keep_numbers(self, name: str, endpoint: str, values: np.ndarray) -> None:
        """Store numbers under a key that names all they depend on; the first ever stored under it count."""
        row = (name, endpoint, values.dtype.str, json.dumps(values.shape), values.tobytes(), _now())
        with self._writer() as base:
            base.execute("INSERT OR IGNORE INTO numbers VALUES (?, ?, ?, ?, ?, ?)", row)

    def capabilities(self, endpoint: str, model: str) -> Capabilities | None:
        """What was known of a model when it was asked: requests depend on it, so a replay needs it."""
        query = "SELECT capabilities FROM endpoints WHERE endpoint = ? AND model = ?"
        with self._reader() as base:
            row = base.execute(query, (endpoint, model)).fetchone()
        return None if row is None else Capabilities(**json.loads(row[0]))

    def keep_capabilities(self, found: Capabilities) -> None:
        """Store what is known of a model; the last one stored counts."""
        row = (found.endpoint, found.model, json.dumps(asdict(found)))
        with self._writer() as base:
            base.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?)", row)

    def __len__(self) -> int:
        with self._reader() as base:
            return int(base.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._lookups.close()
        self._base.close()


def storable(answer: Answer) -> Answer:
    """The answer without lone surrogates, which no file can hold: they become question marks."""
    if isinstance(answer, Failure):
        return replace(answer, partial=well_formed(answer.partial))
    return replace(answer, text=well_formed(answer.text))


def _nothing(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.unanswered


def _row(entry: LedgerEntry) -> tuple[Any, ...]:
    answer = storable(entry.answer)
    if isinstance(answer, Failure):
        finish, text, reason = answer.finish, answer.partial, answer.reason
    else:
        finish, text, reason = WHOLE, answer.text, ""
    return (
        entry.key, entry.endpoint, entry.model, entry.request, finish, text, reason, answer.input_tokens,
        answer.output_tokens, _now(), _packed(answer),
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _packed(answer: Answer) -> str:
    """What only some answers have, as JSON; '' when there is nothing."""
    more: dict[str, Any] = {}
    if answer.cached_input_tokens is not None:
        more["cached_input_tokens"] = answer.cached_input_tokens
    if answer.written_input_tokens:
        more["written_input_tokens"] = answer.written_input_tokens
    if isinstance(answer, Response):
        for name in ("logprobs", "prompt_logprobs"):
            rows: tuple[TokenLogprob, ...] = getattr(answer, name)
            if rows:
                more[name] = [[row.text, row.logprob, [list(pair) for pair in row.top]] for row in rows]
    return json.dumps(more, separators=(",", ":")) if more else ""


def _unpacked(rows: Any) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(t, p, tuple((text, value) for text, value in top)) for t, p, top in rows or ())


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """A Ledger that is closed at the end."""
    ledger = Ledger(path)
    try:
        yield ledger
    finally:
        ledger.close()
