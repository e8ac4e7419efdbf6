"""What readers tried on a run's pages: a table of its own beside the pages, never among the run's scores."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autointerp.contexts.pairing import Sampled
from autointerp.records import Status
from autointerp.suggested_rows import SuggestedRow
from autointerp.tables import read_arrow, write_table

FILE = "browser/suggested.parquet"
"""By path in the run folder."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a formula for a spreadsheet."""
Key = tuple[str, str, str, str, str]
"""Unit, text, scorer, metric, slice."""


class Suggested:
    """The table `suggested` of one run. Read and added to from several threads."""

    def __init__(self, run: Path) -> None:
        """BadInput when there is a file that can't be read."""
        self._path, self._lock = run / FILE, threading.Lock()
        self._rows = self._read()

    def _read(self) -> dict[Key, SuggestedRow]:
        if not self._path.is_file():
            return {}
        rows = (SuggestedRow(**row) for row in read_arrow(self._path).to_pylist())
        return {_key(row): row for row in rows}

    def rows(self) -> list[SuggestedRow]:
        """All of them, in the order in which they were first asked."""
        with self._lock:
            return list(self._rows.values())

    def add(self, rows: Iterable[SuggestedRow]) -> None:
        """Keep rows: the file is written anew, whole or not at all. BadInput when it can't be.

        What another process has added since is kept.
        """
        with self._lock:
            kept = self._read()
            kept.update((_key(row), row) for row in rows)
            write_table("suggested", self._path, kept.values())
            self._rows = kept

    def as_csv(self) -> str:
        """The table for a spreadsheet: no text in it is a formula there."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow([field.name for field in fields(SuggestedRow)])
        for row in self.rows():
            writer.writerow([_cell(value) for value in astuple(row)])
        return written.getvalue()


def row_of(unit: Sampled, text: str, scorer: str, cell: Mapping[str, Any], column: str = "value") -> SuggestedRow:
    """What a cell says of one scorer, asked now. `column`: where its value is; its reason is in `COLUMN_reason`."""
    value, reason = cell[column], cell[f"{column}_reason"]
    return SuggestedRow(
        unit=unit.unit,
        arm=unit.arm,
        text=text,
        scorer=scorer,
        metric=cell["metric"],
        slice=cell["slice"],
        value=value,
        chance=cell["chance"],
        run_value=None,
        n_contexts=cell["n_contexts"],
        asked=datetime.now(UTC).isoformat(timespec="seconds"),
        status=str(Status.UNSCORED if value is None else Status.OK),
        reason=reason or "",
    )


def _key(row: SuggestedRow) -> Key:
    return row.unit, row.text, row.scorer, row.metric, row.slice


def _cell(value: object) -> object:
    """A text that would be a formula gets an apostrophe before it, which spreadsheets read as: this is text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
