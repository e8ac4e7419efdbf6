"""What was asked, what it used and what it cost: durable per attempt, so that no death of a process forgets spending.

An attempt is written down at its worst case before it is sent, and settled after. What never settles (a process that
was killed, an answer that got lost) stays at its worst case: it may have been billed. What only waited for its turn to
be sent when its process died was not: the next process that opens the file takes it back. The file belongs to one run;
several processes may share it, and a limit then holds for all of them together.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import BadInput
from autointerp.llm.budget.prices import NANO, Tokens, dollars, price, used
from autointerp.llm.client import Asker
from autointerp.llm.ledger.database import open_base, transaction, unusable
from autointerp.llm.request import Answer, Failure, Request, with_room
from autointerp.rows import UsageRow
from autointerp.study_models import Budget, Llm

_TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    nano INTEGER
);
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), tokens INTEGER, nano INTEGER);
INSERT OR IGNORE INTO account VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS served (
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0,
    priced INTEGER NOT NULL DEFAULT 0,
    input INTEGER NOT NULL DEFAULT 0,
    output INTEGER NOT NULL DEFAULT 0,
    saved_input INTEGER NOT NULL DEFAULT 0,
    saved_output INTEGER NOT NULL DEFAULT 0,
    saved_nano INTEGER DEFAULT 0,
    PRIMARY KEY (stage, model)
);
"""
_OPEN, _SETTLED, _UNBILLED = "open", "settled", "unbilled"
_WAITING = "waiting "
"""Before the number of the process: the attempt is reserved, and not sent."""
_COUNTS = ("requests", "cached", "input", "output", "saved_input", "saved_output", "saved_nano")
_ROWS = """
SELECT s.stage, s.model, requests, cached, coalesce(attempts, 0), coalesce(uncertain, 0),
       s.input + coalesce(a.input, 0), coalesce(cached_input, 0), s.output + coalesce(a.output, 0),
       coalesce(nano, 0), priced = 0 OR coalesce(unpriced, 0), saved_input, saved_output, saved_nano
FROM served s LEFT JOIN (
    SELECT stage, model, count(*) AS attempts, sum(state = 'open' OR state LIKE 'waiting %') AS uncertain,
           sum(input) AS input, sum(cached_input) AS cached_input, sum(output) AS output, sum(nano) AS nano,
           sum(nano IS NULL) AS unpriced
    FROM attempts GROUP BY stage, model
) a USING (stage, model) ORDER BY s.stage, s.model
"""


class Usage:
    """The run's account. One object may be used from several threads, one file by several processes."""

    def __init__(self, path: Path | None = None, budget: Budget = Budget()) -> None:  # noqa: B008  frozen
        """Open or create the file (None: kept in memory). BadInput when it can't be used."""
        self.budget = budget
        """The limits."""
        self._path = path
        self._lock, self._inside = threading.RLock(), False
        # NORMAL: what a process wrote survives its death, though not a power cut. An attempt is no answer.
        self._base = open_base(path, "NORMAL", _TABLES)
        self._release_what_died_waiting()

    def _release_what_died_waiting(self) -> None:
        with self._transaction() as base:
            waiting = base.execute("SELECT DISTINCT state FROM attempts WHERE state LIKE ?", (f"{_WAITING}%",))
            for (state,) in waiting.fetchall():
                if _lives(state.removeprefix(_WAITING)):
                    continue
                found = base.execute(
                    "SELECT sum(input + output), sum(coalesce(nano, 0)) FROM attempts WHERE state = ?", (state,)
                ).fetchone()
                base.execute(
                    "UPDATE attempts SET state = ?, input = 0, cached_input = 0, output = 0, nano = 0 WHERE state = ?",
                    (_UNBILLED, state),
                )
                base.execute("UPDATE account SET tokens = tokens - ?, nano = nano - ?", found)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything in the block is one transaction: all of it is written, or nothing."""
        with self._transaction():
            self._inside = True
            try:
                yield
            finally:
                self._inside = False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._inside:  # by this thread: another would not have the lock
                yield self._base
                return
            try:
                with transaction(self._base):
                    yield self._base
            except sqlite3.Error as error:
                raise unusable(self._path, error) from error

    def reserve(self, stage: str, model: str, worst: Tokens, nano: int | None, *, waiting: bool = False) -> int | None:
        """Write down an attempt at its worst case; its id, or None when that might pass a limit.

        `waiting`: it is not sent before `send` says so.
        """
        limit_nano = None if self.budget.limit_usd is None else round(self.budget.limit_usd * NANO)
        with self._transaction() as base:
            fits = base.execute(
                "UPDATE account SET tokens = tokens + :tokens, nano = nano + :nano WHERE "
                "(:limit_tokens IS NULL OR tokens + :tokens <= :limit_tokens) AND "
                "(:limit_nano IS NULL OR nano + :nano <= :limit_nano)",
                {"tokens": worst.total, "nano": nano or 0, "limit_tokens": self.budget.limit_tokens,
                 "limit_nano": limit_nano},
            ).rowcount  # fmt: skip
            if not fits:
                return None
            state = f"{_WAITING}{os.getpid()}" if waiting else _OPEN
            row = (stage, model, state, worst.input, 0, worst.output, nano)
            return base.execute(
                "INSERT INTO attempts (stage, model, state, input, cached_input, output, nano) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)", row,
            ).lastrowid  # fmt: skip

    def send(self, attempt: int) -> None:
        """The attempt is being sent: from now on it may be billed."""
        with self._transaction() as base:
            base.execute(
                "UPDATE attempts SET state = ? WHERE id = ? AND state LIKE ?", (_OPEN, attempt, f"{_WAITING}%")
            )

    def settle(self, attempt: int, tokens: Tokens, nano: int | None, *, billed: bool = True) -> None:
        """Put what an attempt used in place of its worst case. Settling twice changes nothing."""
        with self._transaction() as base:
            found = base.execute(
                "SELECT input + output, coalesce(nano, 0) FROM attempts WHERE id = ? AND (state = ? OR state LIKE ?)",
                (attempt, _OPEN, f"{_WAITING}%"),
            ).fetchone()
            if found is None:
                return
            base.execute(
                "UPDATE attempts SET state = ?, input = ?, cached_input = ?, output = ?, nano = ? WHERE id = ?",
                (_SETTLED if billed else _UNBILLED, tokens.input, tokens.cached_input, tokens.output, nano, attempt),
            )
            base.execute(
                "UPDATE account SET tokens = tokens + ?, nano = nano + ?",
                (tokens.total - found[0], (nano or 0) - found[1]),
            )

    def spent(self) -> tuple[int, float]:
        """Tokens and dollars spent or reserved, over all calls on this run."""
        with self._transaction() as base:
            tokens, nano = base.execute("SELECT tokens, nano FROM account").fetchone()
        return tokens, nano / NANO

    def count(self, stage: str, model: str, *, priced: bool, **more: int | None) -> None:
        """Add to the counts of a stage and model: requests, cached, input, output, saved_..."""
        names = [name for name in _COUNTS if name in more]
        adding = ", ".join(f"{name} = {name} + ?" for name in names)
        with self._transaction() as base:
            base.execute("INSERT OR IGNORE INTO served (stage, model) VALUES (?, ?)", (stage, model))
            values = [more[name] for name in names]
            where = "WHERE stage = ? AND model = ?"
            base.execute(f"UPDATE served SET priced = ?, {adding} {where}", (priced, *values, stage, model))

    def rows(self) -> list[UsageRow]:
        """Rows of table `usage`: an unknown price is None, never 0; what was priced and never sent cost 0."""
        with self._transaction() as base:
            found = base.execute(_ROWS).fetchall()
        return [
            UsageRow(
                stage, model, requests, cached, attempts, uncertain, tokens_in, cached_in, tokens_out,
                None if unpriced else dollars(nano), saved_in, saved_out, dollars(saved),
            )
            for stage, model, requests, cached, attempts, uncertain, tokens_in, cached_in, tokens_out, nano, unpriced,
            saved_in, saved_out, saved in found
        ]  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def _lives(process: str) -> bool:
    """Whether a process of this number runs; where that can't be asked it is taken for true."""
    if os.name == "nt":  # where this signal is an order
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True


MOST_CUT = 20
"""Paid answers of a stage that are all cut before it stops."""


class Counted:
    """An Asker that counts what it was asked, and what the ledger saved."""

    def __init__(self, inner: Asker, usage: Usage, stage: str, llm: Llm, *, charged: bool) -> None:
        """`charged`: attempts are charged one by one below; else (a model in the process) tokens are counted here."""
        self.identity = inner.identity
        """The inner asker's."""
        self.reasks = inner.reasks
        """The inner asker's."""
        self.unanswered = 0
        """Requests that nothing came back for."""
        self._inner, self._usage, self._stage, self._llm, self._charged = inner, usage, stage, llm, charged
        self._only_cut = 0

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Ask, with the room for thinking that the study gives, and count the answers.

        Raises BadInput where the first paid answers were all cut: what follows them would be too.
        """
        counts: dict[str, int | None] = dict.fromkeys(_COUNTS, 0)
        try:
            for place, answer in self._inner.stream(with_room(requests, self._llm.thinking_tokens)):
                self._add(counts, answer)
                self._stop_when_all_are_cut(answer)
                yield place, answer
        finally:
            if counts["requests"]:
                self._usage.count(self._stage, self._llm.model, priced=self._llm.priced, **counts)

    def _stop_when_all_are_cut(self, answer: Answer) -> None:
        if not self._charged or answer.cached or self._only_cut < 0:
            return
        if not isinstance(answer, Failure) or answer.finish != "length":
            self._only_cut = -1  # the model does end an answer
            return
        self._only_cut += 1
        if self._only_cut == MOST_CUT:
            raise BadInput(
                f"all of the first {MOST_CUT} answers of model '{self._llm.model}' in stage {self._stage} were cut at "
                f"their limit ({answer.reason})",
                "give room: llm.NAME.thinking_tokens for a model that thinks first, llm.NAME.max_tokens for one that "
                "explains at length; what was answered is kept",
            )

    def _add(self, counts: dict[str, int | None], answer: Answer) -> None:
        tokens = used(answer) or Tokens()
        added: dict[str, int | None] = {"requests": 1}
        if answer.cached:
            nano = price(self._llm, tokens)
            added |= {"cached": 1, "saved_input": tokens.input, "saved_output": tokens.output, "saved_nano": nano}
        elif not self._charged:
            added |= {"input": tokens.input, "output": tokens.output}
        if isinstance(answer, Failure) and answer.unanswered:
            self.unanswered += 1
        for name, value in added.items():
            before = counts[name]
            counts[name] = None if before is None or value is None else before + value
